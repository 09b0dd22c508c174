"""Folders of finished runs for tests of their reports: real audio, random recognition errors, no training."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recipes.scoring.results import LOG, DecodedUtterance, EpochRecord, RunSummary, SplitResult, decoded_file
from recipes.scoring.wer import align_words
from tests.support.corpus import WORDS, write_corpus

RECIPE = "# A recipe of a test, with <marks> & more.\nmixer: summarymixing  # 'one name'\n"


def utterance(identifier: str, words: str, hypothesis: str, **fields) -> DecodedUtterance:
    """As the run recognised it, greedily too."""
    common = {
        "id": identifier,
        "speaker": identifier.split("-")[0],
        "duration": 2.5,
        "audio": f"../{identifier}.flac",
        "words": words,
        "hypothesis": hypothesis,
        "greedy": hypothesis,
        "score": -1.5,
    }
    return DecodedUtterance(**{**common, **fields})


def write_run(folder: Path, decoded: Mapping[str, list[DecodedUtterance]], *, epochs: int = 5, **fields) -> Path:
    """A run's folder with the files that a report reads; no log.jsonl without epochs. fields: of the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, utterances in decoded.items():
        DecodedUtterance.write_all(utterances, decoded_file(folder, split))
    common = {
        "recipe": "quickstart",
        "mixer": "summarymixing",
        "seed": 1234,
        "splits": {split: split_result(utterances) for split, utterances in decoded.items()},
        "parameters": 2589120,
        "seconds": 286.4,
        "peak_memory_mb": 1459.9,
        "device": "cpu",
        "versions": {"python": "3.11", "torch": "2.11"},
        "commit": "0123456789ab",
        "recipe_hash": "a4ca6c176d8c",
        "decoded_by": f"python train.py {folder}/recipe.yaml --test_only",
    }
    RunSummary(**{**common, **fields}).write(folder)
    (folder / "recipe.yaml").write_text(RECIPE)
    for number in range(1, epochs + 1):
        log_epoch(folder, number)
    return folder


def split_result(utterances: list[DecodedUtterance]) -> SplitResult:
    """Without the interval that older runs lack."""
    words = [item.words for item in utterances]
    search = align_words(words, [item.hypothesis for item in utterances])
    greedy = align_words(words, [item.greedy for item in utterances])
    return SplitResult(
        wer=round(100 * search.wer, 3),
        interval=None,
        substitutions=search.substitutions,
        deletions=search.deletions,
        insertions=search.insertions,
        utterances=len(utterances),
        words=sum(len(sentence.split()) for sentence in words),
        wer_greedy_ctc=round(100 * greedy.wer, 3),
        rtf=0.125,
    )


def log_epoch(folder: Path, number: int, **metrics) -> None:
    """Append a line to log.jsonl; the search is used every fifth epoch."""
    common = {
        "train_loss": 80 / number,
        "valid_loss": 40 / number,
        "valid_wer_greedy_ctc": 64 / number,
        "valid_wer": 50 / number if number % 5 == 0 else None,
        "valid_token_accuracy": 90.0,
    }
    record = EpochRecord(number, 100 * number, 60.0 * number, 2e-3 / number, 1e9 + number, {**common, **metrics})
    with open(folder / LOG, "a") as log:
        log.write(record.line() + "\n")


def random_decoded(splits: Mapping[str, tuple[int, int]], *, error: float = 0.15, seed: int = 0) -> dict:
    """Utterances by split for (speakers, utterances of each) of LibriSpeech's lengths, without audio files."""
    random = np.random.default_rng(seed)
    decoded = {}
    for first, (split, (speakers, utterances_each)) in zip(range(1000, 9000, 1000), splits.items(), strict=False):
        decoded[split] = []
        for speaker in range(speakers):
            for number in range(utterances_each):
                words = " ".join(random.choice(WORDS, size=random.integers(3, 37)))
                identifier = f"{first + speaker}-{speaker}-{number:04d}"
                hypothesis, duration = misheard(words, error, random), len(words.split()) * 0.4 + random.uniform(0.3, 2)
                decoded[split].append(utterance(identifier, words, hypothesis, greedy=words, duration=duration))
    return decoded


def run_with_audio(folder: Path, splits: Mapping[str, tuple[int, int]], *, error: float = 0.3) -> Path:
    """A run beside the corpus it was tested on; the audio is referred to as evaluation does, relatively."""
    random, decoded = np.random.default_rng(1), {}
    corpus, run = folder / "the corpus", folder / "run"
    for split, texts in write_corpus(corpus, splits).items():
        decoded[split] = []
        for identifier, words in sorted(texts.items()):
            speaker, chapter, _ = identifier.split("-")
            audio = corpus / split / speaker / chapter / f"{identifier}.flac"
            hypothesis, path = misheard(words, error, random), Path(os.path.relpath(audio, run)).as_posix()
            decoded[split].append(utterance(identifier, words, hypothesis, audio=path))
    return write_run(run, decoded)


def misheard(words: str, error: float, random: np.random.Generator) -> str:
    """Words replaced, left out and inserted, each with a third of the probability."""
    recognised = []
    for word in words.split():
        chance = random.uniform() / error
        if chance >= 1:
            recognised.append(word)
        elif chance < 1 / 3:
            recognised.append(str(random.choice(WORDS)))
        elif chance < 2 / 3:
            recognised += [word, str(random.choice(WORDS))]
    return " ".join(recognised)
