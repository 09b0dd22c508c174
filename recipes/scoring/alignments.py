"""`wer_<split>.txt`: reference over hypothesis for every utterance, errors marked."""

from collections.abc import Sequence
from pathlib import Path

import jiwer

from data_prep.files import write_atomically
from recipes.scoring.transcription import Transcription
from recipes.scoring.wer import align_words


def write_alignments(transcriptions: Sequence[Transcription], path: Path) -> None:
    """Write the alignments, the worst utterance first, below a line with the errors of all of them."""
    total = align_words(
        [transcription.words for transcription in transcriptions],
        [transcription.hypothesis for transcription in transcriptions],
    )
    errors = total.substitutions + total.deletions + total.insertions
    lines = [
        f"%WER {100 * total.wer:.2f} [{errors} / {total.hits + total.substitutions + total.deletions}, "
        f"{total.insertions} ins, {total.deletions} del, {total.substitutions} sub]",
        "",
    ]
    aligned = [(align_words([item.words], [item.hypothesis]), item.id) for item in transcriptions]
    for result, utterance in sorted(aligned, key=lambda pair: (-pair[0].wer, pair[1])):
        lines.append(f"{utterance}  WER {100 * result.wer:.1f} %")
        lines.append(jiwer.visualize_alignment(result, show_measures=False, skip_correct=False).split("\n", 1)[1])
    write_atomically(path, "\n".join(lines) + "\n")
