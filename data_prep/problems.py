"""Why an utterance is left out: the kinds of problems, with the rule that is broken where the name does not say it."""

from data_prep import audio, transcripts

MALFORMED_LINE = "malformed transcript line"
NO_AUDIO = "transcript line without audio"
NO_LINE = "audio without transcript line"
NO_TRANSCRIPT = "chapter without transcript file"
NO_WORDS = "empty transcript"
DUPLICATE = "duplicate ID"
NOT_UTF8 = "name that is not UTF-8"
# Of users' own manifests.
BAD_ROW = "row that cannot be used"
NO_FILE = "missing audio file"
BEYOND_END = "segment beyond the end of its file"
NO_LENGTH = "segment without length"
ONE_CHANNEL = "one channel of a file with several"

RULES = {
    MALFORMED_LINE: transcripts.RULE,
    NO_AUDIO: f"an audio file is named like its ID and ends in {' '.join(audio.FORMATS)}",
    NO_LINE: "the ID of a line is the name of the audio file without its ending",
    NO_TRANSCRIPT: f"{transcripts.NAMES} lies beside the audio or in a folder above it",
    DUPLICATE: "an ID stands for a single utterance of the split",
    audio.UNKNOWN_LENGTH: "the header has the number of samples; a FLAC file from a pipe is to be encoded again",
    NOT_UTF8: "names of files and folders are UTF-8",
    BAD_ROW: "a row names an audio file and has a text; start and end are seconds",
    NO_FILE: "a relative path is looked for in the manifest's folder, then in --data_folder",
    BEYOND_END: "start and end are seconds from the beginning of the file",
    NO_LENGTH: "start is 0 or more, and end is greater",
    ONE_CHANNEL: "the mean of all is heard: write each into a file of its own, as sox IN.wav OUT.wav remix 1 does",
}
