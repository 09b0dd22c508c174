"""The manifest of a split and its report, from utterances that were found; one rule for what is wrong with them.

An utterance with a problem is left out and reported by name; a split with none left, or with more than a tenth left
out, is refused. Only headers of audio files are read, unless all audio is to be decoded.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from data_prep import audio
from data_prep.arguments import ArgumentParser
from data_prep.cores import usable_cores
from data_prep.errors import DataError
from data_prep.files import checksum, write_atomically
from data_prep.manifest import csv_blocks, located, speaker_of
from data_prep.problems import BEYOND_END, NO_LENGTH, NO_WORDS, ONE_CHANNEL
from data_prep.reading import by_threads, by_threads_if_slow
from data_prep.report import read_report, refusal, report_lines
from data_prep.segments import DECIMALS, Segment
from data_prep.text import NORMALIZERS, printable

LEFT_OUT_AT_MOST = 0.1  # of a split's utterances
FILES_AT_A_TIME = 256
DECODED_PER_SECOND = 2500  # seconds of speech that a core decodes in a second, about
ROUNDING = 0.05  # seconds that a segment may reach beyond its file, where it is cut


class Utterance(NamedTuple):
    """What is known of an utterance without its audio. audio: as in the manifest, the file alone.

    channels: of the file, how many are the utterance's; None: all.
    """

    id: str
    audio: str
    speaker: str  # the column spk_id
    words: str
    start: float | None = None
    end: float | None = None
    channels: int | None = None


@dataclass(frozen=True)
class Content:
    """What was found for a split, and already found wrong with it.

    name: of the folder or the manifest, for messages. root: what `$data_root` stands for. utterances: in order.
    count: of all, also those with a problem. problems: kind → names. first_lines: kind → the first line with it.
    """

    name: str
    root: Path
    utterances: list[Utterance]
    count: int
    problems: dict[str, list[str]]
    first_lines: dict[str, str] = field(default_factory=dict)
    several_formats: int = 0


class SplitWriter:
    """Writes `out_folder/<split>.csv` and its report `<split>.json`; both stay when the source has not changed.

    workers: files read at a time, None: one a core. check: decode all audio, which finds damage inside files.
    normalizer: of the words, see `data_prep.text.NORMALIZERS`. say: shows a line, of the report for one.
    """

    def __init__(
        self,
        split: str,
        out_folder,
        *,
        workers: int | None = None,
        progress=True,
        check=False,
        normalizer="none",
        say: Callable[[str], None] = print,
    ):
        self.workers = usable_cores() if workers is None else workers
        if self.workers < 1:
            raise DataError(f"workers is {workers}: give 1 or more")
        if normalizer not in NORMALIZERS:
            raise DataError(f"no text normalizer '{normalizer}'; choose among: {', '.join(NORMALIZERS)}")
        self.split, self.progress, self.check, self.normalizer = split, progress, check, normalizer
        self.say = say
        self.manifest, self.report_file = Path(out_folder, f"{split}.csv"), Path(out_folder, f"{split}.json")

    def is_unchanged(self, fingerprint: str) -> bool:
        """Whether the manifest that is there is of this source; then its report is shown."""
        report = read_report(self.report_file)
        unchanged = (
            report.get("fingerprint") == fingerprint
            and report["normalizer"] == self.normalizer
            and (report["checked"] or not self.check)
            and report["csv_sha256"] == (checksum(self.manifest) or "no file")
        )
        if unchanged:
            self.show(report)
        return unchanged

    def show(self, report: dict) -> None:
        for line in report_lines(report, self.report_file):
            self.say(line)

    def write(self, content: Content, fingerprint: str) -> Path:
        """Returns the manifest. The report holds counts, hours and every problem by name.

        Raises DataError when the split is refused.
        """
        tally, refused = Tally({kind: list(names) for kind, names in content.problems.items()}), False
        headers = self.read_headers(content)
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(self.manifest, csv_blocks(self.rows(content, headers, tally)))
        except Refused:
            refused = True
        problems = {kind: sorted(map(printable, names)) for kind, names in sorted(tally.problems.items()) if names}
        report = {
            "fingerprint": fingerprint,
            "csv_sha256": None if refused else checksum(self.manifest),
            "checked": self.check,
            "normalizer": self.normalizer,
            "split": self.split,
            "utterances": tally.utterances,
            "utterances_found": content.count,
            "hours": round(tally.seconds / 3600, 6),
            "speakers": len(tally.speakers - {None}),
            "segments": tally.segments,
            "sample_rates": {str(rate): count for rate, count in sorted(tally.rates.items())},
            "several_channels": tally.several_channels,
            "several_formats": content.several_formats,
            "problems": problems,
            "first_lines": {kind: printable(line) for kind, line in content.first_lines.items()},
        }
        write_atomically(self.report_file, json.dumps(report, indent=1).encode())
        self.show(report)
        if refused:
            raise DataError(refusal(report, content.name, self.report_file))
        return self.manifest

    def rows(self, content: Content, headers: dict[str, audio.Header | str], tally: "Tally") -> Iterator[tuple]:
        """The rows of the manifest, which are counted as they go. Raises Refused behind the last."""
        normalize = NORMALIZERS[self.normalizer]
        for utterance in content.utterances:
            words, header = normalize(utterance.words), headers[utterance.audio]
            place = header if isinstance(header, str) else locate(utterance, header)
            if isinstance(place, str) or not words:
                kind = place if isinstance(place, str) else NO_WORDS
                tally.problems.setdefault(kind, []).append(utterance.id)
                continue
            tally.add(header, place, utterance.speaker)
            yield utterance.id, place.seconds, str(place.segment), utterance.speaker, words
        if not tally.utterances or content.count - tally.utterances > LEFT_OUT_AT_MOST * content.count:
            raise Refused

    def read_headers(self, content: Content) -> dict[str, audio.Header | str]:
        """Header or kind of problem of each file, once for all of its segments."""
        names = list(dict.fromkeys(utterance.audio for utterance in content.utterances))
        headers = self.map_files(by_threads_if_slow, lambda name: audio.read_header(located(name, content.root)), names)
        if self.check:
            self.check_audio([located(name, content.root) for name in names], headers)
        return dict(zip(names, headers, strict=True))

    def check_audio(self, paths: list[str], headers: list[audio.Header | str]) -> None:
        """Decode the files and put the kinds of problems in place of their headers."""
        sound = [(index, header) for index, header in enumerate(headers) if not isinstance(header, str)]
        seconds = sum(header.frames / header.rate for _, header in sound)
        minutes = seconds / DECODED_PER_SECOND / min(self.workers, usable_cores()) / 60
        self.say(f"{self.split}: decoding {seconds / 3600:.1f} hours of audio, about {math.ceil(minutes)} min")
        outcomes = self.map_files(by_threads, audio.check, [paths[index] for index, _ in sound])
        for (index, header), problem in zip(sound, outcomes, strict=True):
            headers[index] = problem or header

    def map_files(self, spread, function, files: list[str]) -> list:
        """`function` of each file, in order. spread: how over threads, of `data_prep.reading`."""
        results: list = []
        shows = self.progress and bool(files)
        with tqdm(total=len(files), desc=self.split, unit="file", disable=not shows, leave=False) as bar:
            for batch in spread(function, files, self.workers, FILES_AT_A_TIME):
                results += batch
                bar.update(len(batch))
        return results


class Located(NamedTuple):
    """Where an utterance is, and how long."""

    segment: Segment
    seconds: float


@dataclass
class Tally:
    """What the manifest that is written holds. speakers: None stands for those who are not named."""

    problems: dict[str, list[str]]
    utterances: int = 0
    seconds: float = 0.0
    segments: int = 0
    several_channels: int = 0
    rates: Counter[int] = field(default_factory=Counter)
    speakers: set[str | None] = field(default_factory=set)

    def add(self, header: audio.Header, place: Located, speaker: str) -> None:
        self.utterances += 1
        self.seconds += place.seconds
        self.segments += place.segment.end is not None
        self.several_channels += header.channels > 1
        self.rates[header.rate] += 1
        self.speakers.add(speaker_of(speaker))


class Refused(Exception):
    """Too much of a split is left out for a manifest."""


def locate(utterance: Utterance, header: audio.Header) -> Located | str:
    """The whole file, or a part that lies in it; else the kind of problem."""
    length = header.frames / header.rate
    if utterance.channels and utterance.channels < header.channels:
        return ONE_CHANNEL
    if utterance.start is None and utterance.end is None:
        return Located(Segment(utterance.audio), round(length, DECIMALS))
    start, end = utterance.start or 0.0, length if utterance.end is None else utterance.end
    if end > length + ROUNDING or start >= length:
        return BEYOND_END
    segment = Segment(utterance.audio, round(start, DECIMALS), round(min(end, length), DECIMALS))
    first, last = segment.samples(header.rate)
    if start < 0 or not first < last:
        return NO_LENGTH
    return Located(segment, round(segment.end - segment.start, DECIMALS))


def add_options(parser: ArgumentParser) -> None:
    """What all programs that write manifests take: `workers`, `check` and `normalizer`."""
    parser.add_argument("--workers", type=int, help="files read at a time (default: number of cores)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="decode all audio to find damage inside files: about 3 minutes per 100 hours and core",
    )
    parser.add_argument(
        "--text_normalizer",
        "--normalizer",
        dest="normalizer",
        default="none",
        choices=NORMALIZERS,
        help="of the words (default: none)",
    )
