"""A synthetic speaker: who speaks, how, and what."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.synthetic.grammar import transcript


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
