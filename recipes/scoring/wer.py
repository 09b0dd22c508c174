"""Word error rates, the alignments behind them, and the summary of a run."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import jiwer

from data_prep.files import write_atomically
from data_prep.manifest import read_manifest
from recipes.scoring.homophones import homophone_scores
from recipes.scoring.significance import bootstrap_interval


class Scored(NamedTuple):
    """A text that a search found, and its joint log probability: None from greedy CTC."""

    text: str
    score: float | None


class Transcribed(NamedTuple):
    """One utterance of a test set: reference, what the recipe's search found (best first), and greedy CTC."""

    id: str
    words: str
    found: list[Scored]
    greedy: str

    @property
    def hypothesis(self) -> str:
        return self.found[0].text


def score(references: list[str], hypotheses: list[str]) -> jiwer.WordOutput:
    """Word errors of a whole set by jiwer. No normalisation: words are compared as the transcripts write them."""
    return jiwer.process_words(references, hypotheses)


def utterance_errors(result: jiwer.WordOutput) -> list[int]:
    """Substitutions, deletions and insertions of each utterance."""
    return [
        sum(
            max(one.ref_end_idx - one.ref_start_idx, one.hyp_end_idx - one.hyp_start_idx)
            for one in alignment
            if one.type != "equal"
        )
        for alignment in result.alignments
    ]


def split_summary(transcribed: list[Transcribed], homophones: list[tuple[str, str]] = ()) -> dict:
    """Errors of one test set; WER, and its 95 % bootstrap interval over utterances, in percent.

    homophones: pairs of words that sound alike, to report what ``recipes.scoring.homophones`` counts too.
    """
    words, hypotheses = [one.words for one in transcribed], [one.hypothesis for one in transcribed]
    result = score(words, hypotheses)
    errors, counts = utterance_errors(result), [len(one) for one in result.references]
    interval = bootstrap_interval(errors, counts) if len(words) > 1 else None  # one shows no spread
    return {
        "wer": round(100 * result.wer, 3),
        "interval": interval and [round(end, 3) for end in interval],
        "substitutions": result.substitutions,
        "deletions": result.deletions,
        "insertions": result.insertions,
        "utterances": len(transcribed),
        "words": result.hits + result.substitutions + result.deletions,
        "wer_greedy_ctc": round(100 * score(words, [one.greedy for one in transcribed]).wer, 3),
        **(homophone_scores(homophones, words, hypotheses) if homophones else {}),
    }


def write_alignments(transcribed: list[Transcribed], path: Path) -> None:
    """Reference over hypothesis for every utterance, the worst first, errors marked."""
    scored = [(score([one.words], [one.hypothesis]), one) for one in transcribed]
    scored.sort(key=lambda pair: (-pair[0].wer, pair[1].id))
    total = score([one.words for one in transcribed], [one.hypothesis for one in transcribed])
    errors = total.substitutions + total.deletions + total.insertions
    lines = [
        f"%WER {100 * total.wer:.2f} [{errors} / {total.hits + total.substitutions + total.deletions}, "
        f"{total.insertions} ins, {total.deletions} del, {total.substitutions} sub]",
        "",
    ]
    for result, one in scored:
        lines.append(f"{one.id}  WER {100 * result.wer:.1f} %")
        lines.append(jiwer.visualize_alignment(result, show_measures=False, skip_correct=False).split("\n", 1)[1])
    write_atomically(path, "\n".join(lines) + "\n")


def write_decoded(transcribed: list[Transcribed], manifest: Path, root: Path, path: Path, nbest: int = 1) -> None:
    """One JSON object an utterance, for `recipes.reports.run_report` and other programs.

    Speakers are LibriSpeech's own, the first part of an utterance's name; the manifest's `spk_id` joins speaker
    and chapter. The audio's path is relative to the file's folder. nbest: sentences with their scores to keep.
    """
    rows = {row["ID"]: row for row in read_manifest(manifest)}
    lines = []
    for one in transcribed:
        audio = rows[one.id]["wav"].replace("$data_root", str(root))
        line = {
            "id": one.id,
            "speaker": one.id.split("-")[0],
            "duration": float(rows[one.id]["duration"]),
            "audio": Path(os.path.relpath(audio, path.parent)).as_posix(),
            "words": one.words,
            "hypothesis": one.hypothesis,
            "greedy": one.greedy,
            "score": one.found[0].score,
        }
        if nbest > 1:
            line["nbest"] = [found._asdict() for found in distinct(one.found)[:nbest]]
        lines.append(json.dumps(line, ensure_ascii=False))
    write_atomically(path, "\n".join(lines) + "\n")


def distinct(found: list[Scored]) -> list[Scored]:
    """Without what spells an earlier text in other pieces."""
    best: dict[str, Scored] = {}
    for one in found:
        best.setdefault(one.text, one)
    return list(best.values())


def table(splits: dict[str, dict]) -> str:
    """The WER table that a run shows at its end."""
    width = max(len(name) for name in splits)
    lines = [f"{'':{width}}   WER %   95 % interval   greedy CTC   sub   del   ins   words   utterances"]
    for name, one in splits.items():
        interval = "{:.2f} - {:.2f}".format(*one["interval"]) if one.get("interval") else "-"
        lines.append(
            f"{name:{width}}  {one['wer']:6.2f}  {interval:>14}       {one['wer_greedy_ctc']:6.2f}"
            f" {one['substitutions']:5} {one['deletions']:5} {one['insertions']:5} {one['words']:7}"
            f" {one['utterances']:12}"
        )
    return "\n".join(lines)
