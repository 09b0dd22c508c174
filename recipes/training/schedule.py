"""Learning-rate schedules as pure functions of the step number.

SpeechBrain's schedulers count calls; a function has nothing to save, so a resumed run cannot go astray.
"""

RISE = 1.2  # times as high a rate; an epoch of a batch more or less moves a schedule by little


def noam(step: int, total: int, *, warmup_steps: int) -> float:
    """Share of the highest rate: linear warm-up, then the inverse root of the step (Attention Is All You Need, 5.3)."""
    warmup_steps = max(warmup_steps, 1)
    return min(step / warmup_steps, (warmup_steps / step) ** 0.5)


def linear(step: int, total: int, *, warmup_steps: int) -> float:
    """Share of the highest rate: linear warm-up, then straight down to zero at the last step, if not the only one."""
    if total == 1:
        return 1.0
    warmup_steps = min(warmup_steps, total // 2)
    return min(step / max(warmup_steps, 1), max(total - step, 0) / max(total - warmup_steps, 1))


def note_of_rise(before: float, now: float, total: int) -> str | None:
    """What to say of a run that goes on at a higher rate than it had: its schedule had fallen, and now ends later.

    before, now: the rate of the last step, and the one that it would have now. total: steps in all.
    """
    if now <= RISE * before:
        return None
    moved = f"from {before:.2g} to {now:.2g}, for its schedule now ends at step {total}"
    return f"note: the learning rate rises again, {moved}: as many epochs from the start would give another model"
