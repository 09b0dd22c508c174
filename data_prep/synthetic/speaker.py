"""One synthetic speaker: sentences to FLAC files, and the program that lets many speakers talk at once.

`python -m data_prep.speaker` is started by data_prep/synthesize.py. It forks a fresh process for every
speaker, because espeak-ng repeats itself byte for byte only from a fresh start. It is a program of its own,
rather than a multiprocessing pool, so that no worker imports the caller's script with all that it holds
(torch takes seconds).
"""

import hashlib
import json
import os
import shutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from data_prep.errors import DataError
from data_prep.synthetic.espeak import Espeak
from data_prep.synthetic.grammar import spoken, transcript

SAMPLE_RATE = 16000  # Hz, LibriSpeech's
SECONDS_PER_WORD = (0.15, 0.9)  # outside these bounds the synthesiser did not read the sentence


@dataclass(frozen=True)
class Speaker:
    """Who speaks, how, and what: all that is needed to make one speaker's folder again."""

    speaker_id: int
    split: str
    accent: str
    variant: str
    rate: int  # words a minute
    pitch: int  # espeak-ng's scale, 0 to 100
    tract: float  # formants and pitch are moved by this factor: > 1 sounds like a shorter vocal tract
    noise: tuple  # (lowest, highest) signal-to-noise ratio in dB
    seed: int
    sentences: tuple

    @property
    def chapter_id(self):
        return 100000 + self.speaker_id

    @property
    def folder(self):
        """The speaker's folder inside the corpus."""
        return Path(self.split) / str(self.speaker_id)

    @property
    def chapter_folder(self):
        return self.folder / str(self.chapter_id)

    @property
    def transcripts(self):
        """{utterance ID: transcript}, in order."""
        return {
            f"{self.speaker_id}-{self.chapter_id}-{number:04d}": transcript(sentence)
            for number, sentence in enumerate(self.sentences)
        }

    @property
    def transcript_file(self):
        return self.chapter_folder / f"{self.speaker_id}-{self.chapter_id}.trans.txt"

    @property
    def transcript_text(self):
        return "".join(f"{utterance_id} {words}\n" for utterance_id, words in self.transcripts.items())


def generator_for(*key):
    """A numpy Generator that depends on nothing but `key`."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _trim(samples):
    """The samples from the first to the last that a listener could hear."""
    loudness = np.abs(samples)
    audible = np.flatnonzero(loudness > 0.01 * loudness.max(initial=0))
    return samples[audible[0] : audible[-1] + 1] if audible.size else samples[:0]


def _resample(samples, ratio):
    """`samples` at `ratio` (< 1) times their number, through the spectrum: band-limited by construction."""
    # Lengths of small prime factors make the transforms ten times faster; the ratio is met within 0.3 %.
    padded = -(-len(samples) // 1024) * 1024
    length = round(padded * ratio / 256) * 256
    spectrum = np.fft.rfft(samples, padded)[: length // 2 + 1]
    return np.fft.irfft(spectrum, length)[: round(len(samples) * ratio)] * (length / padded)


def _noise(count, slope, generator):
    """Noise of about unit power, its spectrum falling as frequency ** -slope: 0 is white, 1 like wind."""
    padded = -(-count // 1024) * 1024
    frequency = np.fft.rfftfreq(padded, 1 / SAMPLE_RATE)
    shape = np.maximum(frequency, 50.0) ** -slope
    shape[0] = 0
    noise = np.fft.irfft(np.fft.rfft(generator.standard_normal(padded)) * shape, padded)
    return noise[:count] / np.sqrt(np.mean(noise**2))


def record(samples, sample_rate, tract, noise, generator):
    """What a microphone would have kept of the voice: int16 array at 16 kHz.

    samples: float array, speech without silence around it, any scale, at `sample_rate` Hz; tract: see
    Speaker; noise: (lowest, highest) signal-to-noise ratio in dB. Draws the silence around the speech (0.1 to
    0.3 s on each side), the microphone's spectral tilt, noise and level. Nothing clips: the peak lies 0 to
    9 dB under 0.9 of full scale.
    """
    before, after = generator.uniform(0.1, 0.3, 2)
    speech = np.pad(samples, (int(before * sample_rate), int(after * sample_rate)))
    speech = _resample(speech, SAMPLE_RATE / sample_rate / tract)
    speech[1:] -= generator.uniform(-0.35, 0.35) * speech[:-1]
    power = np.mean(speech**2)
    noise_power = power * 10 ** (-generator.uniform(*noise) / 10)
    slope = generator.uniform(0, 1)
    heard = speech + np.sqrt(noise_power) * _noise(len(speech), slope, generator)
    peak = 0.9 * 32767 * 10 ** (generator.uniform(-9, 0) / 20)
    return np.round(heard * (peak / np.abs(heard).max())).astype(np.int16)


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
        samples = _trim(samples.astype(np.float64))
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


def _wait_for_one(running):
    """Wait until a speaker has finished; whether it finished well."""
    process, status = os.wait()
    speaker_id = running.pop(process)
    if os.WIFSIGNALED(status):
        _report(error=f"speaker {speaker_id}: its process was ended by signal {os.WTERMSIG(status)}")
    return status == 0


def main(corpus_folder, workers):
    """Speak what standard input lists (JSON), `workers` at a time; one JSON line on standard output each."""
    waiting = [Speaker(**fields) for fields in json.load(sys.stdin)]
    running, well = {}, True
    while running or (waiting and well):
        if waiting and well and len(running) < workers:
            speaker = waiting.pop(0)
            running[_start(speaker, corpus_folder)] = speaker.speaker_id
        else:
            well = _wait_for_one(running) and well
    return 0 if well else 1


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
    except KeyboardInterrupt:
        sys.exit(130)  # the caller was interrupted too, and says so
