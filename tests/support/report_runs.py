"""Folders of finished runs for tests of their reports: real audio, random recognition errors, no training."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recipes.scoring.wer import align_words
from tests.support.corpus import WORDS, write_corpus

RECIPE = "# A recipe of a test, with <marks> & more.\nmixer: summarymixing  # 'one name'\n"


def utterance(identifier: str, words: str, hypothesis: str, **fields) -> dict:
    """One line of decoded_<split>.jsonl."""
    return {
        "id": identifier,
        "speaker": identifier.split("-")[0],
        "duration": 2.5,
        "audio": f"../{identifier}.flac",
        "words": words,
        "hypothesis": hypothesis,
        "greedy": hypothesis,
        "score": -1.5,
        **fields,
    }


def write_run(folder: Path, decoded: Mapping[str, list[dict]], *, epochs: int = 5) -> Path:
    """A run's folder with the files that a report reads; no log.jsonl without epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, rows in decoded.items():
        (folder / f"decoded_{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        splits[split] = counts(rows)
    summary = {
        "recipe": "quickstart",
        "mixer": "summarymixing",
        "seed": 1234,
        "splits": splits,
        "parameters": 2589120,
        "seconds": 286.4,
        "peak_memory_mb": 1459.9,
        "device": "cpu",
        "versions": {"python": "3.11", "torch": "2.11"},
        "commit": "0123456789ab",
        "recipe_hash": "a4ca6c176d8c",
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "recipe.yaml").write_text(RECIPE)
    if epochs:
        lines = [json.dumps(epoch_line(number)) + "\n" for number in range(1, epochs + 1)]
        (folder / "log.jsonl").write_text("".join(lines))
    return folder


def counts(rows: list[dict]) -> dict:
    """A split's entry in summary.json, without the interval that older runs lack."""
    words = [row["words"] for row in rows]
    found, greedy = (align_words(words, [row[key] for row in rows]) for key in ("hypothesis", "greedy"))
    return {
        "wer": round(100 * found.wer, 3),
        "substitutions": found.substitutions,
        "deletions": found.deletions,
        "insertions": found.insertions,
        "utterances": len(rows),
        "words": sum(len(one.split()) for one in words),
        "wer_greedy_ctc": round(100 * greedy.wer, 3),
        "rtf": 0.125,
    }


def epoch_line(number: int, **values) -> dict:
    """One line of log.jsonl; the search is used every fifth epoch."""
    return {
        "epoch": number,
        "steps": 100 * number,
        "seconds": 60.0 * number,
        "lr": 2e-3 / number,
        "train_loss": 80 / number,
        "valid_loss": 40 / number,
        "valid_wer_greedy_ctc": 64 / number,
        "valid_wer": 50 / number if number % 5 == 0 else None,
        "valid_token_accuracy": 90.0,
        **values,
    }


def random_decoded(splits: Mapping[str, tuple[int, int]], *, error: float = 0.15, seed: int = 0) -> dict:
    """Rows by split for (speakers, utterances of each) of LibriSpeech's lengths, without audio files."""
    random = np.random.default_rng(seed)
    decoded = {}
    for at, (split, (speakers, each)) in enumerate(splits.items()):
        decoded[split] = []
        for speaker in range(speakers):
            for number in range(each):
                words = " ".join(random.choice(WORDS, size=random.integers(3, 37)))
                identifier = f"{1000 * (at + 1) + speaker}-{speaker}-{number:04d}"
                row = utterance(identifier, words, misheard(words, error, random), greedy=words)
                decoded[split].append({**row, "duration": len(words.split()) * 0.4 + random.uniform(0.3, 2)})
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
            row = utterance(identifier, words, misheard(words, error, random))
            decoded[split].append({**row, "audio": Path(os.path.relpath(audio, run)).as_posix()})
    return write_run(run, decoded)


def misheard(words: str, error: float, random: np.random.Generator) -> str:
    """Words replaced, left out and inserted, each with a third of the given probability."""
    heard = []
    for word in words.split():
        chance = random.uniform() / error
        if chance >= 1:
            heard.append(word)
        elif chance < 1 / 3:
            heard.append(str(random.choice(WORDS)))
        elif chance < 2 / 3:
            heard += [word, str(random.choice(WORDS))]
    return " ".join(heard)
