"""The program that lets many speakers talk at once; `data_prep.synthesize` starts it.

It forks a fresh process for every speaker, because espeak-ng repeats itself byte for byte only from a fresh start.
It is a program of its own, rather than a multiprocessing pool, so that no worker imports the caller's script with
all that it holds (torch takes seconds).
"""

import json
import os
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np
import soundfile

from data_prep.errors import DataError
from data_prep.synthetic.espeak import Espeak
from data_prep.synthetic.grammar import spoken
from data_prep.synthetic.recording import SAMPLE_RATE, record, trim
from data_prep.synthetic.speaker import Speaker, generator_for

SECONDS_PER_WORD = (0.15, 0.9)  # outside these bounds the synthesiser did not read the sentence


def speak(speaker, corpus_folder):
    """Write the speaker's folder into the corpus, whole or not at all. Call it in a fresh process.

    Raises DataError when the synthesiser lacks the voice or leaves a sentence unread, OSError when the disk
    is full.
    """
    espeak = Espeak()
    espeak.set_voice(speaker.accent, speaker.variant, speaker.rate, speaker.pitch)
    final = corpus_folder / speaker.folder
    unfinished = final.with_name(f".{final.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    chapter = unfinished / str(speaker.chapter_id)
    chapter.mkdir(parents=True)
    for (utterance_id, words), sentence in zip(speaker.transcripts.items(), speaker.sentences, strict=True):
        generator = generator_for(speaker.seed, utterance_id)
        samples = espeak.speak(spoken(sentence), seed=int(generator.integers(1, 2**31)))
        samples = trim(samples.astype(np.float64))
        seconds_per_word = len(samples) / espeak.sample_rate / len(words.split())
        if not SECONDS_PER_WORD[0] < seconds_per_word < SECONDS_PER_WORD[1]:
            raise DataError(f"{utterance_id}: {seconds_per_word:.2f} s a word, so espeak-ng did not read it")
        recording = record(samples, espeak.sample_rate, speaker.tract, speaker.noise, generator)
        soundfile.write(chapter / f"{utterance_id}.flac", recording, SAMPLE_RATE, subtype="PCM_16")
    (chapter / speaker.transcript_file.name).write_text(speaker.transcript_text, encoding="utf-8")
    if final.exists():
        shutil.rmtree(final)
    os.replace(unfinished, final)


def _report(**message):
    # One write of one short line: lines of several processes do not mix in the pipe.
    os.write(sys.stdout.fileno(), (json.dumps(message) + "\n").encode())


def _start(speaker, corpus_folder):
    """Fork the speaker's process; returns its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        speak(speaker, corpus_folder)
        _report(done=speaker.speaker_id)
        status = 0
    except (DataError, OSError) as error:
        _report(error=f"speaker {speaker.speaker_id} ({speaker.accent}+{speaker.variant}): {error}")
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)  # never back into the parent's loop


def _wait_for_speaker(running):
    """Wait until any speaker's process has ended; returns whether it succeeded."""
    process, status = os.wait()
    speaker_id = running.pop(process)
    if os.WIFSIGNALED(status):
        _report(error=f"speaker {speaker_id}: its process was ended by signal {os.WTERMSIG(status)}")
    return status == 0


def main(corpus_folder, workers):
    """Speak what standard input lists (JSON), `workers` at a time; a JSON line on standard output for each speaker."""
    pending = [Speaker(**fields) for fields in json.load(sys.stdin)]
    running, succeeded = {}, True
    while running or (pending and succeeded):
        if pending and succeeded and len(running) < workers:
            speaker = pending.pop(0)
            running[_start(speaker, corpus_folder)] = speaker.speaker_id
        else:
            succeeded = _wait_for_speaker(running) and succeeded
    return 0 if succeeded else 1


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
    except KeyboardInterrupt:
        sys.exit(130)  # the caller was interrupted too, and reports it
