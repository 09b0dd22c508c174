"""Scores for a corpus in which context alone tells how a word is spelled; see data_prep/synthetic/context.py.

Such a corpus has a file HOMOPHONES.TXT beside its splits, one pair of words a line: `NIGHT KNIGHT`.
"""

from collections.abc import Sequence
from pathlib import Path

import jiwer

from data_prep.errors import DataError
from data_prep.manifest import HOMOPHONES_FILE


def read_pairs(root: Path) -> list[tuple[str, str]]:
    """Returns the pairs of spellings that the corpus in `root` lists; none where it has no HOMOPHONES.TXT.

    Raises DataError, with file and line, for what is not two different words, or for a word seen before.
    """
    path = Path(root) / HOMOPHONES_FILE
    if not path.is_file():
        return []
    pairs: list[tuple[str, str]] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[0] == words[1]:
            raise DataError(f"{path}, line {number}: not two different words, such as NIGHT KNIGHT: {line.strip()!r}")
        if repeated := seen.intersection(words):
            raise DataError(f"{path}, line {number}: {repeated.pop()} stands in two pairs; leave one of them")
        seen.update(words)
        pairs.append((words[0], words[1]))
    return pairs


def homophone_scores(
    pairs: Sequence[tuple[str, str]], references: Sequence[str], hypotheses: Sequence[str]
) -> dict[str, float | None]:
    """How well sentences were recognised, and how well their homophones were spelled; percent.

    Reference and hypothesis are aligned (jiwer, fewest word errors) after both spellings of every pair were
    made the same word. A homophone of the reference counts as recognised where it is aligned with a spelling of its
    own pair.

    - `merged_wer`: word error rate of that alignment, in which spelling does not count; None without
      reference words.
    - `homophones_seen`: share of the homophones in the references that were recognised; None without any.
    - `homophone_error`: share of those recognised that have the wrong spelling, 50 by guessing; None without any.
      It says nothing of those that were not recognised, so look at `homophones_seen` beside it.
    """
    if not references:
        return {"merged_wer": None, "homophone_error": None, "homophones_seen": None}
    merge = {second: first for first, second in pairs}
    homophones = {word for pair in pairs for word in pair}
    spelled = [[sentence.split() for sentence in sentences] for sentences in (references, hypotheses)]
    merged = [[" ".join(merge.get(word, word) for word in words) for words in sentences] for sentences in spelled]
    aligned = jiwer.process_words(merged[0], merged[1])

    total = sum(word in homophones for words in spelled[0] for word in words)
    recognised = wrong = 0
    for reference, hypothesis, chunks in zip(*spelled, aligned.alignments, strict=True):
        for chunk in chunks:
            if chunk.type != "equal":
                continue
            pairs_of_words = zip(
                reference[chunk.ref_start_idx : chunk.ref_end_idx],
                hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx],
                strict=True,
            )
            for word, recognised_word in pairs_of_words:
                recognised += word in homophones
                wrong += word != recognised_word
    words = aligned.hits + aligned.substitutions + aligned.deletions
    return {
        "merged_wer": _percent(aligned.substitutions + aligned.deletions + aligned.insertions, words),
        "homophone_error": _percent(wrong, recognised),
        "homophones_seen": _percent(recognised, total),
    }


def _percent(count: int, whole: int) -> float | None:
    return round(100 * count / whole, 3) if whole else None
