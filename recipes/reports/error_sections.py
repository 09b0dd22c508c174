"""The parts of a run's report that show its errors: by speaker, length and word, and the worst utterances."""

from statistics import median
from urllib.parse import quote

from recipes.reports import errors as html_errors
from recipes.reports import page as html
from recipes.reports.errors import Utterance
from recipes.reports.plots import Series, line_plot

WORST = 30  # utterances of each split
MOST_WORDS = 40
MOST_CONFUSIONS = 30

SECTIONS = {
    "speakers": "By speaker",
    "lengths": "By length",
    "words": "By word",
    "confusions": "Most frequent confusions",
    "worst": "Worst utterances",
}

Decoded = dict[str, list[Utterance]]  # by split


def speakers(decoded: Decoded) -> html.Html:
    by_split = {split: html_errors.by_speaker(utterances) for split, utterances in decoded.items()}
    highest = max((group.wer or 0 for groups in by_split.values() for group in groups), default=0) or 1
    heads, parts = ["speaker", "utterances", "words", "errors", "WER %"], []
    for split, groups in by_split.items():
        rows = [
            [
                group.name,
                *map(html.Number, (group.utterances, group.words, group.errors)),
                html.Number(group.wer, 2, share=(group.wer or 0) / highest),
            ]
            for group in groups
        ]
        middle = median([group.wer for group in groups if group.wer is not None] or [0.0])
        told = f"{len(groups)} speakers, median WER {middle:.2f} %" if len(groups) > 1 else "one speaker"
        shown = html.table(f"WER by speaker, {split}", heads, rows)
        parts.append(html.join([_heading(split), html.paragraph(told, "note"), shown]))
    return _section("speakers", html.columns(parts, "wide"))


def lengths(decoded: Decoded) -> html.Html:
    step = html_errors.length_step(max(one.duration for utterances in decoded.values() for one in utterances))
    series, parts = [], []
    for split, utterances in decoded.items():
        groups = html_errors.by_length(utterances, step)
        low, high = zip(*(group.interval or (None, None) for group in groups), strict=True)
        series.append(Series(split, [g.seconds for g in groups], [g.wer for g in groups], low, high))
        rows = [
            [group.name, html.Number(group.utterances), html.Number(group.wer, 2), range_text(group.interval)]
            for group in groups
        ]
        heads = ["seconds", "utterances", "WER %", "95 % interval"]
        parts.append(html.join([_heading(split), html.table(f"WER by length, {split}", heads, rows, sortable=False)]))
    plot = line_plot(
        series,
        title="WER by length of the utterance",
        x_label="length of the utterance, seconds",
        y_label="WER, %",
        zero_y=True,
    )
    note = (
        "Each point stands at the mean length of its bin. The band is the 95 % bootstrap interval, given for "
        f"{html_errors.LEAST_FOR_AN_INTERVAL} utterances or more."
    )
    shown = html.join([html.figure("WER by length of the utterance", plot), html.paragraph(note, "note")])
    return _section("lengths", html.columns([shown, *parts]))


def words(decoded: Decoded) -> html.Html:
    told = (
        "Said: how often the transcripts have the word. Missed: said, but replaced or left out. "
        "Heard wrongly: recognised where it was not said. The words with most of both come first."
    )
    parts = []
    for split, utterances in decoded.items():
        counted = html_errors.count_words(utterances)
        rows = [
            [word, *map(html.Number, (counted.said[word], counted.missed[word], counted.wrong[word]))]
            for word in html_errors.most_often_wrong(counted, MOST_WORDS)
        ]
        shown = html.table(f"Words most often wrong, {split}", ["word", "said", "missed", "heard wrongly"], rows)
        parts.append(html.join([_heading(split), shown if rows else html.paragraph("No word is wrong.")]))
    return _section("words", html.paragraph(told, "note"), html.columns(parts))


def confusions(decoded: Decoded) -> html.Html:
    parts = []
    for split, utterances in decoded.items():
        counted = html_errors.count_words(utterances)
        swaps = [(*pair, times) for pair, times in _top(counted.swaps)]
        tables = [
            _frequent(f"substitutions, {split}", ["said", "recognised", "times"], swaps),
            _frequent(f"deletions, {split}", ["left out", "times"], _top(counted.deleted)),
            _frequent(f"insertions, {split}", ["inserted", "times"], _top(counted.inserted)),
        ]
        parts += [_heading(split), html.columns(tables)]
    return _section("confusions", *parts)


def worst_utterances(decoded: Decoded) -> html.Html:
    legend = html.Html(
        "<del>WORD</del> was said and left out; <ins>WORD</ins> was inserted; "
        f"{_swap('SAID', 'RECOGNISED')} was replaced. The audio is played from where the corpus was when "
        "the run was evaluated."
    )
    parts = [html.paragraph(legend, "note")]
    for split, utterances in decoded.items():
        chosen, wrong = html_errors.worst(utterances, WORST), sum(one.errors() > 0 for one in utterances)
        told = f"{wrong} of {len(utterances)} utterances have errors"
        told += f"; the {len(chosen)} of highest WER:" if wrong > len(chosen) else "."
        shown = html.columns([_article(one) for one in chosen], "wide")
        parts.append(html.join([_heading(split), html.paragraph(told, "note"), shown]))
    return _section("worst", *parts)


def range_text(interval: tuple[float, float] | None) -> str:
    """Low and high of an interval, on one line."""
    return f"{interval[0]:.2f}\u00a0–\u00a0{interval[1]:.2f}" if interval else "–"


def _frequent(label: str, heads: list[str], rows: list[tuple]) -> html.Html:
    if not rows:
        return html.paragraph(f"No {label.split(',')[0]}.", "note")
    return html.table(f"Most frequent {label}", heads, [[*row[:-1], html.Number(row[-1])] for row in rows])


def _article(one: Utterance) -> html.Html:
    counted = zip(one.counts(), ("substitution", "deletion", "insertion"), strict=True)
    kinds = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for count, kind in counted if count)
    told = f"speaker {one.speaker}, {one.duration:.1f} s: WER {one.wer():.1f} %"
    told += f" ({kinds} in {len(one.words)} words)"
    told += "" if one.score is None else f", score {html.number(one.score, 1).replace('-', '−')}"
    greedy = html.paragraph(f"greedy CTC: {one.greedy or '(nothing)'}", "note")
    aligned = " ".join(_aligned(said, heard) for said, heard in one.pairs())
    address = html.text(quote(one.audio))  # a colon or a percent sign must stay part of the name
    return html.Html(
        f'<article><h4>{html.text(one.id)}</h4><p class="note">{html.text(told)}</p>'
        f'<p class="words">{aligned}</p>'
        f"{greedy if one.greedy.split() != one.hypothesis else ''}"
        f'<audio controls preload="none" src="{address}" aria-label="{html.text(one.id)}"></audio>'
        "</article>\n"
    )


def _aligned(said: str | None, heard: str | None) -> str:
    if said == heard:
        return html.text(said)
    if heard is None:
        return f'<del title="left out">{html.text(said)}</del>'
    if said is None:
        return f'<ins title="inserted">{html.text(heard)}</ins>'
    return _swap(said, heard)


def _swap(said: str, heard: str) -> str:
    pair = f"<del>{html.text(said)}</del> → <ins>{html.text(heard)}</ins>"
    return f'<span class="swap" title="replaced">{pair}</span>'


def _section(anchor: str, *parts: str) -> html.Html:
    return html.section(anchor, SECTIONS[anchor], *parts)


def _top(counter) -> list[tuple]:
    return html_errors.most_common(counter, MOST_CONFUSIONS)


def _heading(split: str) -> html.Html:
    return html.Html(f"<h3>{html.text(split)}</h3>\n")
