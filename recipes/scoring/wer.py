"""Word and character error rates by jiwer, and the table that a run shows at its end."""

from collections.abc import Mapping, Sequence

import jiwer

from recipes.scoring.homophones import homophone_scores
from recipes.scoring.normalizers import score_normalizer
from recipes.scoring.results import SplitResult
from recipes.scoring.significance import bootstrap_interval
from recipes.scoring.transcription import Transcription


def align_words(references: Sequence[str], hypotheses: Sequence[str]) -> jiwer.WordOutput:
    """Align sentences pairwise with the fewest word errors. Words are compared as they are written: no normalisation.

    Raises ValueError for another number of references than of hypotheses.
    """
    return jiwer.process_words(list(references), list(hypotheses))


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Percent, blanks between words included."""
    return 100 * jiwer.cer(list(references), list(hypotheses))


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


def score_split(
    transcriptions: Sequence[Transcription],
    homophones: Sequence[tuple[str, str]] = (),
    normalizer: str | None = None,
) -> SplitResult:
    """Errors of one test set; WER, its 95 % bootstrap interval over utterances, and CER, in percent.

    homophones: pairs of words that sound alike, to add what `recipes.scoring.homophones` counts.
    normalizer: to add the WER of texts that `recipes.scoring.score_normalizer` has brought to one spelling.
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
    spelling = homophone_scores(homophones, words, hypotheses) if homophones else {}
    return SplitResult(
        wer=round(100 * aligned.wer, 3),
        interval=interval,
        substitutions=aligned.substitutions,
        deletions=aligned.deletions,
        insertions=aligned.insertions,
        utterances=len(transcriptions),
        words=aligned.hits + aligned.substitutions + aligned.deletions,
        wer_greedy_ctc=round(100 * greedy.wer, 3),
        cer=round(character_error_rate(words, hypotheses), 3),
        normalizer=normalizer,
        normalized_wer=None if normalizer is None else normalized_wer(words, hypotheses, normalizer),
        merged_wer=spelling.get("merged_wer"),
        homophone_error=spelling.get("homophone_error"),
        homophones_seen=spelling.get("homophones_seen"),
    )


def normalized_wer(references: Sequence[str], hypotheses: Sequence[str], normalizer: str) -> float | None:
    """Percent; None where no word of the references is left."""
    normalize = score_normalizer(normalizer)
    aligned = align_words([normalize(text) for text in references], [normalize(text) for text in hypotheses])
    return round(100 * aligned.wer, 3) if any(aligned.references) else None


def table(splits: Mapping[str, SplitResult]) -> str:
    """The table that a run shows at its end: a header, a line for each split, and notes on what cannot be compared."""
    width = max(len(name) for name in splits)
    normalizers = list(dict.fromkeys(result.normalizer for result in splits.values() if result.normalizer))
    heads = [f"{name} WER %" for name in normalizers]
    lines = [f"{'':{width}}   WER %   95 % interval    CER %   greedy CTC   sub   del   ins   words   utterances"]
    lines[0] += "".join(f"   {head}" for head in heads)
    for name, result in splits.items():
        interval = "{:.2f} - {:.2f}".format(*result.interval) if result.interval else "-"
        cer = "-" if result.cer is None else f"{result.cer:.2f}"
        lines.append(
            f"{name:{width}}  {result.wer:6.2f}  {interval:>14}  {cer:>7}       {result.wer_greedy_ctc:6.2f}"
            f" {result.substitutions:5} {result.deletions:5} {result.insertions:5} {result.words:7}"
            f" {result.utterances:12}"
        )
        for name, head in zip(normalizers, heads, strict=True):
            rate = result.normalized_wer if result.normalizer == name else None
            lines[-1] += f"   {'-' if rate is None else f'{rate:.2f}':>{len(head)}}"
    for name, result in splits.items():
        if result.left_out:
            all_of_it = result.utterances + result.left_out
            lines.append(f"note: without {result.left_out} of the {all_of_it} utterances of {name}: no usable audio")
    unspaced = [name for name, result in splits.items() if not result.has_spaces]
    if unspaced:
        lines.append(
            f"note: no transcript of {', '.join(unspaced)} has a space: WER counts utterances, compare the CER"
        )
    return "\n".join(lines)
