"""What a run's report says of its errors: by speaker, length and word, and the worst utterances."""

from statistics import median
from typing import NamedTuple

from recipes.reports.error_analysis import (
    LEAST_FOR_AN_INTERVAL,
    AlignedUtterance,
    by_length,
    by_speaker,
    count_words,
    length_step,
    most_common,
    most_often_wrong,
    worst,
)
from recipes.reports.page import Column, Figure, Table, interval_text
from recipes.reports.plots import Series, line_plot

WORST = 30  # utterances of each split
MOST_WORDS = 40
MOST_CONFUSIONS = 30

Decoded = dict[str, list[AlignedUtterance]]  # by split


class SplitTable(NamedTuple):
    """A split's table, under its name and a note."""

    split: str
    table: Table
    note: str = ""


class SplitTables(NamedTuple):
    split: str
    tables: list[Table]


class SplitUtterances(NamedTuple):
    split: str
    utterances: list[AlignedUtterance]
    note: str


def error_sections(decoded: Decoded) -> dict:
    """What `run.html.jinja` shows as `errors`; empty without test sets."""
    if not decoded:
        return {}
    step = length_step(max(utterance.decoded.duration for utterances in decoded.values() for utterance in utterances))
    return {
        "speakers": speakers(decoded),
        "length_figure": length_figure(decoded, step),
        "least_for_an_interval": LEAST_FOR_AN_INTERVAL,
        "lengths": [lengths(split, utterances, step) for split, utterances in decoded.items()],
        "words": [words(split, utterances) for split, utterances in decoded.items()],
        "confusions": [confusions(split, utterances) for split, utterances in decoded.items()],
        "worst": [worst_utterances(split, utterances) for split, utterances in decoded.items()],
    }


def speakers(decoded: Decoded) -> list[SplitTable]:
    by_split = {split: by_speaker(utterances) for split, utterances in decoded.items()}
    # The bars of all splits have the same scale.
    highest = max((group.wer or 0 for groups in by_split.values() for group in groups), default=0) or 1
    columns = [Column("speaker"), *(Column(head, 0) for head in ("utterances", "words", "errors"))]
    columns.append(Column("WER %", 2, full=highest))
    parts = []
    for split, groups in by_split.items():
        rows = [(group.name, group.utterances, group.words, group.errors, group.wer) for group in groups]
        middle = median([group.wer for group in groups if group.wer is not None] or [0.0])
        note = f"{len(groups)} speakers, median WER {middle:.2f} %" if len(groups) > 1 else "one speaker"
        parts.append(SplitTable(split, Table(f"WER by speaker, {split}", columns, rows), note))
    return parts


def lengths(split: str, utterances: list[AlignedUtterance], step: float) -> SplitTable:
    columns = [Column("seconds"), Column("utterances", 0), Column("WER %", 2), Column("95 % interval")]
    rows = [
        (group.name, group.utterances, group.wer, interval_text(group.interval))
        for group in by_length(utterances, step)
    ]
    return SplitTable(split, Table(f"WER by length, {split}", columns, rows, sortable=False))


def length_figure(decoded: Decoded, step: float) -> Figure:
    series = []
    for split, utterances in decoded.items():
        groups = by_length(utterances, step)
        low, high = zip(*(group.interval or (None, None) for group in groups), strict=True)
        series.append(Series(split, [group.seconds for group in groups], [group.wer for group in groups], low, high))
    caption = "WER by length of the utterance"
    x_label = "length of the utterance, seconds"
    return Figure(caption, line_plot(series, title=caption, x_label=x_label, y_label="WER, %", zero_y=True))


def words(split: str, utterances: list[AlignedUtterance]) -> SplitTable:
    counts = count_words(utterances)
    columns = [Column("word"), *(Column(head, 0) for head in ("said", "missed", "heard wrongly"))]
    rows = [
        (word, counts.spoken[word], counts.missed[word], counts.wrong[word])
        for word in most_often_wrong(counts, MOST_WORDS)
    ]
    return SplitTable(split, Table(f"Words most often wrong, {split}", columns, rows, empty="No word is wrong."))


def confusions(split: str, utterances: list[AlignedUtterance]) -> SplitTables:
    counts, times = count_words(utterances), Column("times", 0)
    substituted = [(*pair, count) for pair, count in most_common(counts.substituted, MOST_CONFUSIONS)]
    deleted, inserted = (most_common(counter, MOST_CONFUSIONS) for counter in (counts.deleted, counts.inserted))
    kinds = {
        "substitutions": ([Column("said"), Column("recognised"), times], substituted),
        "deletions": ([Column("left out"), times], deleted),
        "insertions": ([Column("inserted"), times], inserted),
    }
    return SplitTables(
        split,
        [
            Table(f"Most frequent {kind}, {split}", columns, rows, empty=f"No {kind}.")
            for kind, (columns, rows) in kinds.items()
        ],
    )


def worst_utterances(split: str, utterances: list[AlignedUtterance]) -> SplitUtterances:
    shown, wrong = worst(utterances, WORST), sum(utterance.errors > 0 for utterance in utterances)
    note = f"{wrong} of {len(utterances)} utterances have errors"
    note += f"; the {len(shown)} of highest WER:" if wrong > len(shown) else "."
    return SplitUtterances(split, shown, note)
