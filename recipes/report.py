"""Word error rates, the alignments behind them, and the summary of a run."""

import json
import os
import platform
import resource
import subprocess
from pathlib import Path
from typing import NamedTuple

import jiwer
import speechbrain
import torch
import torchaudio


class Transcribed(NamedTuple):
    """One utterance of a test set: reference, the recipe's own search, and greedy CTC."""

    id: str
    words: str
    hypothesis: str
    greedy: str


def score(references: list[str], hypotheses: list[str]) -> jiwer.WordOutput:
    """Word errors of a whole set by jiwer. No normalisation: words are compared as the transcripts write them."""
    return jiwer.process_words(references, hypotheses)


def split_summary(transcribed: list[Transcribed]) -> dict:
    """Errors of one test set; WER in percent."""
    words = [one.words for one in transcribed]
    result = score(words, [one.hypothesis for one in transcribed])
    return {
        "wer": round(100 * result.wer, 3),
        "substitutions": result.substitutions,
        "deletions": result.deletions,
        "insertions": result.insertions,
        "utterances": len(transcribed),
        "words": result.hits + result.substitutions + result.deletions,
        "wer_greedy_ctc": round(100 * score(words, [one.greedy for one in transcribed]).wer, 3),
    }


def write_alignments(transcribed: list[Transcribed], path: Path) -> None:
    """Reference over hypothesis for every utterance, the worst first, errors marked."""
    scored = [(score([one.words], [one.hypothesis]), one) for one in transcribed]
    scored.sort(key=lambda pair: (-pair[0].wer, pair[1].id))
    total = score([one.words for one in transcribed], [one.hypothesis for one in transcribed])
    errors = total.substitutions + total.deletions + total.insertions
    lines = [f"%WER {100 * total.wer:.2f} [{errors} / {total.hits + total.substitutions + total.deletions}, "
             f"{total.insertions} ins, {total.deletions} del, {total.substitutions} sub]", ""]  # fmt: skip
    for result, one in scored:
        lines.append(f"{one.id}  WER {100 * result.wer:.1f} %")
        lines.append(jiwer.visualize_alignment(result, show_measures=False, skip_correct=False).split("\n", 1)[1])
    write_atomically(path, "\n".join(lines) + "\n")


def table(splits: dict[str, dict]) -> str:
    """The WER table that a run shows at its end."""
    width = max(len(name) for name in splits)
    lines = [f"{'':{width}}   WER %   greedy CTC   sub   del   ins   words   utterances"]
    for name, one in splits.items():
        lines.append(
            f"{name:{width}}  {one['wer']:6.2f}       {one['wer_greedy_ctc']:6.2f} {one['substitutions']:5}"
            f" {one['deletions']:5} {one['insertions']:5} {one['words']:7} {one['utterances']:12}"
        )
    return "\n".join(lines)


def peak_memory_mb() -> float:
    """Highest memory of this process so far: of the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / (2**20 if platform.system() == "Darwin" else 2**10), 1)


def versions() -> dict:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchaudio": torchaudio.__version__,
        "speechbrain": speechbrain.__version__,
    }


def commit() -> str | None:
    """The commit of this code, "+changes" when the tree differs from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"],
            cwd=here, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def write_json(path: Path, values: dict) -> None:
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
