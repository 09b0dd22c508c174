"""An axis of a plot: its range, its round ticks, linear or logarithmic, and numbers as text."""

import math
from collections.abc import Sequence


class Axis:
    """A range of values, its ticks, and where between 0 and 1 a value lies.

    margin: share of the range that stays free on each side. Raises ValueError for no value, one that is not
    finite, and one that a logarithmic axis cannot show.
    """

    def __init__(self, values: Sequence[float], log: bool, margin: float = 0.0):
        if not values or not all(map(math.isfinite, values)):
            raise ValueError("a plot needs at least one point, and finite values")
        if log and min(values) <= 0:
            raise ValueError(f"a logarithmic axis cannot show {min(values):g}")
        self.log, self.margin, low, high = log, margin, min(values), max(values)
        whole = all(value == int(value) for value in values)
        self.ticks = _log_ticks(low, high) if log else _ticks(low, high, whole)
        self.low, self.high = min(low, self.ticks[0]), max(high, self.ticks[-1])

    def at(self, value: float) -> float:
        """0 at the axis' beginning, 1 at its end."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.margin + (1 - 2 * self.margin) * (value - low) / (high - low)


def value_text(value: float) -> str:
    """A measured value, to four digits."""
    return tick_text(float(f"{value:.4g}"))


def tick_text(value: float) -> str:
    """A number as an axis shows it: 1,500; 0.002; 25 M; 1.5 G; 5×10⁻⁵."""
    size = abs(value)
    if 1e6 <= size < 1e12:
        text = f"{value / 1e6:,.6g} M" if size < 1e9 else f"{value / 1e9:,.6g} G"
        return text.replace("-", "−")
    if 1e-4 <= size < 1e6 or size == 0:
        text = f"{value:,.6f}".rstrip("0").rstrip(".")
        return text.replace("-", "−")
    digits, power = f"{value:.4e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}×10{raised}".removeprefix("1×").replace("-", "−")


def _ticks(low: float, high: float, whole: bool) -> list[float]:
    """Four to seven round values that enclose low and high; whole: whole numbers only."""
    if low == high:
        around = 0.5 if low == 0 or whole else abs(low) / 2
        low, high = low - around, high + around
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    if whole:
        step = max(1.0, step if step == int(step) else math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with their doubles and fivefolds where there are few."""
    if low == high:
        low, high = low / 2, high * 2
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1,), (1, 2, 5), range(1, 10)):
        ticks = [float(f"{factor}e{power}") for power in range(first, last + 1) for factor in factors]
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) >= 3:
            return inside
    # Less than a third of a decade: round steps as on a linear axis, without those at or below zero.
    return [tick for tick in _ticks(low, high, whole=False) if tick > 0]
