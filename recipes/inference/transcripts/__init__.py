"""What transcribing gives: text, words with their times and confidences, and the files that hold them.

transcript      the types: `Transcript`, `Word`
words           from tokens with their frames to words with their times
alignment       the frames of a text's tokens, by CTC forced alignment; the one module here that needs torch
formats         transcripts as text, JSON, subtitles and CTM
"""
