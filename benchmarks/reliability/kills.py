"""Training killed at any moment, and given the same command again, ends as if nothing had happened."""

import contextlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.reliability.programs import ProgramFailed, kill, run, start
from benchmarks.reliability.tiny_run import arguments, outcome

POLL_SECONDS = 0.001
TRIES = 3  # of a moment that passes too quickly to be met every time
OPTIONS = ("--number_of_epochs", "4", "--ckpt_interval_minutes", "0", "--ckpt_interval_steps", "2")
VARIANTS = {
    "plain": (),
    "accumulation": ("--grad_accumulation_factor", "3"),
    "loading processes": ("--workers", "2"),
    "bfloat16": ("--precision", "bf16"),
    "all of these": ("--grad_accumulation_factor", "2", "--workers", "2", "--precision", "bf16"),
}
# The files in a run's folder that show what it is doing, the latest first.
STAGES = {
    "a checkpoint is being saved": "checkpoints/saving+*",
    "a checkpoint is being deleted": "checkpoints/deleting+*",
    "the log is being written": ".log.jsonl.*",
    "the average is being written": ".averaged.ckpt.*",
    "the run has ended": "report.html",
    "the summary is there, the report is not": "summary.json",
    "the test is being decoded": "averaged.ckpt",
    "training": "checkpoints/CKPT*",
    "before the first checkpoint": "*",
}
WATCHED = [stage for stage in STAGES if stage not in ("the run has ended", "training", "before the first checkpoint")]


class Moment(NamedTuple):
    """When to kill: after a share of the unbroken run's time, or when a stage is reached for the n-th time.

    alone: the program is killed without the processes that load its data.
    """

    share: float = 0.0
    stage: str = ""
    times: int = 1
    alone: bool = False

    def __str__(self):
        return f"{self.stage}, time {self.times}" if self.stage else f"{100 * self.share:.0f} % of the time"


def moments(count: int, draw: random.Random) -> Iterator[Moment]:
    """Half of them at random times, half where files are being written."""
    for number in range(count):
        alone = draw.random() < 0.5
        if number % 2:
            stage = WATCHED[number // 2 % len(WATCHED)]
            times = draw.randint(1, 6) if stage.startswith("a checkpoint") else 1
            yield Moment(stage=stage, times=times, alone=alone)
        else:
            yield Moment(share=draw.random(), alone=alone)


def run_and_kill(data: Path, output: Path, options: Sequence[str], moment: Moment, seconds: float) -> str | None:
    """Kill a training at the moment; the stage that it was in, None where it ended before.

    seconds: of the unbroken training.
    """
    process = start("train", arguments(data, output, *OPTIONS, *options), output.with_suffix(".screen"))
    begun, seen, times = time.monotonic(), set(), 0
    while process.exitcode is None:
        if moment.stage:
            new = set(files(output, STAGES[moment.stage])) - seen
            times, seen = times + bool(new), seen | new
            due = times >= moment.times
        else:
            due = time.monotonic() - begun >= moment.share * seconds
        if due:
            with contextlib.suppress(ProcessLookupError):
                kill(process, moment.alone)
            process.join()
            return stage_of(output)
        time.sleep(POLL_SECONDS)
    return None


def files(output: Path, pattern: str) -> Iterator[tuple[str, int]]:
    """Name and inode: a file that is written anew is another one."""
    for path in output.glob(pattern):
        with contextlib.suppress(OSError):
            yield path.name, path.stat().st_ino


def stage_of(output: Path) -> str:
    return next((stage for stage, pattern in STAGES.items() if any(output.glob(pattern))), "before anything is written")


def kill_surely(
    data: Path, output: Path, options: Sequence[str], moment: Moment, seconds: float, draw: random.Random
) -> str:
    """Train anew until the moment is met, at the last at an early one; the stage that the training was in."""
    early = [Moment(share=share, alone=moment.alone) for share in (draw.uniform(0.2, 0.6), 0.2, 0.0)]
    for tried in [*[moment] * TRIES, *early]:
        shutil.rmtree(output, ignore_errors=True)
        stage = run_and_kill(data, output, options, tried, seconds)
        if stage is not None:
            return stage
    raise ProgramFailed("a training ended before it could be killed")


def try_kills(data: Path, folder: Path, count: int, seed: int = 0, variants: Sequence[str] = tuple(VARIANTS)) -> dict:
    """Kill ``count`` trainings, shared out among the variants; how many ended as the unbroken one did.

    A training is killed at the moment drawn, up to twice more at random ones, and then goes to its end.
    """
    draw = random.Random(seed)
    unbroken, seconds, stages = {}, {}, Counter()
    equal, differing = 0, []
    for number, moment in enumerate(moments(count, draw)):
        name = variants[number % len(variants)]
        options = VARIANTS[name]
        if name not in unbroken:
            whole = folder / f"unbroken-{name.replace(' ', '-')}"
            seconds[name] = run("train", arguments(data, whole, *OPTIONS, *options), whole.with_suffix(".screen"))
            unbroken[name] = outcome(whole)
        output = folder / f"killed-{number}"
        hit = [kill_surely(data, output, options, moment, seconds[name], draw)]
        hit += [
            run_and_kill(data, output, options, Moment(share=draw.uniform(0, 0.7)), seconds[name])
            for _ in range(draw.randrange(3))
        ]
        hit = [stage for stage in hit if stage is not None]
        stages.update(hit)
        run("train", arguments(data, output, *OPTIONS, *options), output.with_suffix(".screen"))
        if outcome(output).equals(unbroken[name]):
            equal += 1
        else:
            differing.append(f"{name}: {moment}, killed {', then '.join(hit)}")
        print(f"kills: {equal} of {number + 1} as the unbroken run ({name}: {', then '.join(hit)})", flush=True)
    return {
        "tried": count,
        "bit_equal": equal,
        "kills": stages.total(),
        "while": dict(stages.most_common()),
        "variants": list(variants),
        "differing": differing,
    }
