"""A corpus with LibriSpeech's numbers of utterances, chapters and words: hard links to a few files of noise."""

import os
import random
from pathlib import Path

import numpy as np
import soundfile

TRAIN = {"train-clean-100": 28_539, "train-clean-360": 104_014, "train-other-500": 148_688}  # utterances
HELD_OUT = {"dev-clean": 2703, "test-clean": 2620}
UTTERANCES_PER_CHAPTER = 54
WORDS_PER_UTTERANCE = (10, 58)
SECONDS_PER_WORD = 1 / 3
VOCABULARY = 100_000  # of which the 9.6 million words of all training splits have 89,000, as LibriSpeech's
ONSETS, VOWELS = ["", *"BCDFGHLMNPRSTW", "ST", "TR", "TH", "SH", "CH"], "AEIOU"
CODAS = ["", *"NRSTL", "ND", "ED", "ING"]


def write_corpus(folder: Path, utterances: int) -> None:
    """A corpus with so many utterances to train on, in `folder/LibriSpeech`; the same every time.

    Utterances are shared out among the splits as LibriSpeech's are, at least one to each.
    """
    draw, audio, chapter = random.Random(0), _write_audio(folder / "audio"), 0
    vocabulary, weights = _vocabulary()
    for split, size in split_sizes(utterances).items():
        for start in range(0, size, UTTERANCES_PER_CHAPTER):
            chapter += 1
            name = f"{chapter // 2}-{100_000 + chapter}"
            place = folder / "LibriSpeech" / split / name.replace("-", "/")
            place.mkdir(parents=True)
            lines = []
            for number in range(min(UTTERANCES_PER_CHAPTER, size - start)):
                words = draw.choices(vocabulary, cum_weights=weights, k=draw.randint(*WORDS_PER_UTTERANCE))
                os.link(audio[len(words)], f"{place}/{name}-{number:04d}.flac")
                lines.append(f"{name}-{number:04d} {' '.join(words)}\n")
            (place / f"{name}.trans.txt").write_text("".join(lines))


def split_sizes(utterances: int) -> dict[str, int]:
    """Utterances of every split, so many in all of those to train on; at least one to each."""
    share, begun, sizes = utterances / sum(TRAIN.values()), 0, {}
    for split, size in TRAIN.items():
        sizes[split] = max(round((begun + size) * share) - round(begun * share), 1)
        begun += size
    return sizes | {split: max(round(size * share), 1) for split, size in HELD_OUT.items()}


def _write_audio(folder: Path) -> dict[int, Path]:
    """A file for each number of words."""
    folder.mkdir(parents=True)
    first, last = WORDS_PER_UTTERANCE
    files = {words: folder / f"{words}.flac" for words in range(first, last + 1)}
    for words, file in files.items():
        noise = np.random.default_rng(words).normal(0, 0.01, round(16000 * SECONDS_PER_WORD * words))
        soundfile.write(file, noise, 16000)
    return files


def _vocabulary() -> tuple[list[str], list[float]]:
    """Words of one to three syllables, short ones first, and their weights, added up, by the law of Mandelbrot.

    Its numbers are such that the smallest training split has 36,000 different words (LibriSpeech's has 34,000).
    """
    syllables = [onset + vowel + coda for onset in ONSETS for vowel in VOWELS for coda in CODAS]
    drawn = np.random.default_rng(0).choice(syllables, (2 * VOCABULARY, 3)).tolist()
    longer = ["".join(word[: 2 + (place > VOCABULARY // 2)]) for place, word in enumerate(drawn)]
    words = list(dict.fromkeys(syllables + longer))[:VOCABULARY]
    return words, np.cumsum((np.arange(len(words)) + 3.7) ** -1.33).tolist()
