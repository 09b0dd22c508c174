"""A small corpus in LibriSpeech's layout: tones in noise, random words."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

WORDS = """A I THE DON'T RIVER STONE LIGHT HOUSE OVER UNDER SEVEN GREEN WALKED SLOWLY
QUEEN BOX JUMPED MAKE VERY""".split()
SECONDS_PER_CHARACTER = (0.055, 0.07)  # speech has 0.07


def write_corpus(
    folder, splits: Mapping[str, tuple[int, int]], seconds=None, sample_rate: int = 16000, seed: int = 0
) -> dict[str, dict[str, str]]:
    """Write `folder/<split>/SPK/CHAP/SPK-CHAP-0000.flac` and transcripts; return the words by split and ID.

    `splits` maps a name to (speakers, utterances per speaker); no two splits share a speaker. The length of an
    utterance is uniform in `seconds`; without it, the length suits the words, so that CTC has frames enough. The same
    arguments give the same bytes.
    """
    random = np.random.default_rng(seed)
    texts, speaker = {}, 100
    for split, (speakers, utterances) in splits.items():
        texts[split] = {}
        for _ in range(speakers):
            speaker += 1
            chapter = Path(folder, split, str(speaker), str(1000 + speaker))
            chapter.mkdir(parents=True)
            lines = {}
            for number in range(utterances):
                identifier = f"{speaker}-{chapter.name}-{number:04d}"
                lines[identifier] = " ".join(random.choice(WORDS, size=random.integers(2, 7)))
                limits = seconds or [share * len(lines[identifier]) for share in SECONDS_PER_CHARACTER]
                time = np.arange(round(sample_rate * random.uniform(*limits))) / sample_rate
                tone = 0.3 * np.sin(2 * np.pi * random.uniform(100, 400) * time)
                samples = tone + 0.01 * random.standard_normal(len(time))
                soundfile.write(chapter / f"{identifier}.flac", samples, sample_rate, subtype="PCM_16")
            transcript = "".join(f"{identifier} {words}\n" for identifier, words in lines.items())
            (chapter / f"{speaker}-{chapter.name}.trans.txt").write_text(transcript)
            texts[split].update(lines)
    return texts
