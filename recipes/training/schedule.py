"""Learning-rate schedules as pure functions of the step number.

SpeechBrain's schedulers count calls; a function has nothing to save, so a resumed run cannot go astray.
"""


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
