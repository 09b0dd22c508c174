"""How far training is, as it is kept in a checkpoint."""

from dataclasses import dataclass, field


@dataclass
class Progress:
    """Counts over all processes."""

    batches: int = 0  # of this epoch, done
    optimizer_steps: int = 0  # of the whole training
    steps_before: int = 0  # of those, before this epoch
    group: int = 1  # batches of an optimizer step: processes times accumulation
    sums: dict[str, float] = field(default_factory=dict)  # over this epoch
    left_out: list[list] = field(default_factory=list)  # what of this epoch's data could not be used, for a subclass
