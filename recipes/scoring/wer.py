"""Word error rates by jiwer, and the table that a run shows at its end."""

from collections.abc import Mapping, Sequence

import jiwer

from recipes.scoring.homophones import homophone_scores
from recipes.scoring.results import SplitResult
from recipes.scoring.significance import bootstrap_interval
from recipes.scoring.transcription import Transcription


def align_words(references: Sequence[str], hypotheses: Sequence[str]) -> jiwer.WordOutput:
    """Align sentences pairwise with the fewest word errors. Words are compared as they are written: no normalisation.

    Raises ValueError for another number of references than of hypotheses.
    """
    return jiwer.process_words(list(references), list(hypotheses))


def errors_by_utterance(aligned: jiwer.WordOutput) -> list[int]:
    """Substitutions, deletions and insertions of each utterance."""
    return [
        sum(
            max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            for chunk in alignment
            if chunk.type != "equal"
        )
        for alignment in aligned.alignments
    ]


def score_split(transcriptions: Sequence[Transcription], homophones: Sequence[tuple[str, str]] = ()) -> SplitResult:
    """Errors of one test set; WER, and its 95 % bootstrap interval over utterances, in percent.

    homophones: pairs of words that sound alike, to add what `recipes.scoring.homophones` counts.
    """
    words = [transcription.words for transcription in transcriptions]
    hypotheses = [transcription.hypothesis for transcription in transcriptions]
    aligned = align_words(words, hypotheses)
    greedy = align_words(words, [transcription.greedy for transcription in transcriptions])
    interval = None
    if len(words) > 1:  # a single utterance shows no spread
        counts = [len(reference) for reference in aligned.references]
        low, high = bootstrap_interval(errors_by_utterance(aligned), counts)
        interval = (round(low, 3), round(high, 3))
    return SplitResult(
        wer=round(100 * aligned.wer, 3),
        interval=interval,
        substitutions=aligned.substitutions,
        deletions=aligned.deletions,
        insertions=aligned.insertions,
        utterances=len(transcriptions),
        words=aligned.hits + aligned.substitutions + aligned.deletions,
        wer_greedy_ctc=round(100 * greedy.wer, 3),
        **(homophone_scores(homophones, words, hypotheses) if homophones else {}),
    )


def table(splits: Mapping[str, SplitResult]) -> str:
    """The WER table that a run shows at its end: a header, and one line for each split."""
    width = max(len(name) for name in splits)
    lines = [f"{'':{width}}   WER %   95 % interval   greedy CTC   sub   del   ins   words   utterances"]
    for name, result in splits.items():
        interval = "{:.2f} - {:.2f}".format(*result.interval) if result.interval else "-"
        lines.append(
            f"{name:{width}}  {result.wer:6.2f}  {interval:>14}       {result.wer_greedy_ctc:6.2f}"
            f" {result.substitutions:5} {result.deletions:5} {result.insertions:5} {result.words:7}"
            f" {result.utterances:12}"
        )
    return "\n".join(lines)
