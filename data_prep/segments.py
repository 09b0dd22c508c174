"""A part of an audio file, written as the W3C's Media Fragments are: `talk.flac#t=12.5,17.25`, in seconds.

So a manifest needs no further column, and a browser plays just that part.
"""

import re
from typing import NamedTuple

SEGMENT = re.compile(r"#t=(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)$")
DECIMALS = 7  # they bring back the number of samples at any usual rate


class Segment(NamedTuple):
    """A file, and the part of it in seconds; both None for the whole file."""

    path: str
    start: float | None = None
    end: float | None = None

    def __str__(self) -> str:
        return self.path if self.end is None else f"{self.path}#t={_seconds(self.start or 0.0)},{_seconds(self.end)}"

    def samples(self, rate: int) -> tuple[int, int | None]:
        """The first sample, and the one after the last; None: to the end."""
        return round((self.start or 0.0) * rate), None if self.end is None else round(self.end * rate)


def parse_segment(text: str) -> Segment:
    """The segment that `str` wrote."""
    part = SEGMENT.search(text) if "#t=" in text else None
    return Segment(text[: part.start()], float(part[1]), float(part[2])) if part else Segment(text)


def _seconds(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
