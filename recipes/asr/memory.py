"""Whether the largest batch fits into memory, tried before training begins, and which batch would fit."""

from typing import NamedTuple

import torch
from speechbrain.core import Stage

from recipes.asr.batches import DurationBatches, Recording
from recipes.asr.brain import ASRBrain
from recipes.asr.data import Batch, read
from recipes.asr.utterances import Utterances
from recipes.cost import TensorWatch, available_memory
from recipes.errors import RecipeError, ran_out_of_memory
from recipes.models import Transducer
from recipes.training.processes import ranks

GB = 1e9
USABLE = 0.85  # share of the free memory that a proposal may take: batches differ, and allocators keep some for later
SAMPLES = (0.1, 0.2)  # shares of batch_seconds (or of all audio): sizes of two trial batches, for a line through both


class TrainingSet(NamedTuple):
    """What is trained on, and how it is batched."""

    dataset: Utterances
    batches: DurationBatches

    def largest(self, power: int = 1) -> list[Recording]:
        """The batch with the most recordings times (length of its longest one) ** power; 1: the most padded audio."""
        seconds = self.batches.seconds
        return max(self.batches.batches(), key=lambda batch: len(batch) * seconds(batch).max() ** power)

    def read(self, recordings: list[Recording]) -> Batch:
        return read(self.dataset, recordings)

    def longest(self, seconds: float) -> list[Recording]:
        """The longest recordings, as many as make about so many seconds of padded audio; at least one."""
        recordings = self.batches.recordings()
        durations = self.batches.seconds(recordings)
        order = durations.argsort()[::-1]
        count = max(1, int(seconds / durations[order[0]]))
        return [recordings[number] for number in order[:count]]


def padded_seconds(batch: Batch) -> float:
    return batch.audio.numel() / 16000


def step_memory(brain: ASRBrain, batch: Batch) -> int:
    """The peak memory of a training step's tensors in bytes, without weights and optimizer. It changes nothing.

    Raises RecipeError where the device has too little memory.
    """
    model, on_gpu = brain.modules.model, brain.device_type == "cuda"
    training = model.training
    devices = [torch.device(brain.device)] if on_gpu else []
    try:
        with torch.random.fork_rng(devices=devices):
            model.train()
            if on_gpu:
                before = torch.cuda.memory_allocated(brain.device)
                torch.cuda.reset_peak_memory_stats(brain.device)
                run_step(brain, batch)
                return torch.cuda.max_memory_allocated(brain.device) - before
            with TensorWatch() as watch:
                run_step(brain, batch)
            return watch.peak
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise RecipeError(
            f"the largest batch ({len(batch.ids)} utterances, {padded_seconds(batch):.0f} s of padded audio) does not "
            f"fit into the memory of {brain.device}: lower --batch_seconds (now {brain.hparams.batch_seconds:g}) and "
            "raise --grad_accumulation_factor as much, or lower --max_seconds; --find_batch true proposes one"
        ) from error
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)


def run_step(brain: ASRBrain, batch: Batch) -> None:
    brain.noted, brain.batch_weight = [{}], 0
    drawn, brain.streaming = brain.streaming, brain.streaming and brain.streaming.smallest()
    try:
        run_forward_and_backward(brain, batch)
    finally:
        brain.streaming = drawn


def run_forward_and_backward(brain: ASRBrain, batch: Batch) -> None:
    with brain.training_ctx:
        loss = brain.compute_objectives(brain.compute_forward(batch, Stage.TRAIN), batch, Stage.TRAIN)
    loss.backward()


def free_memory(brain: ASRBrain) -> int | None:
    """Bytes that are free on the brain's device, what torch has set aside included; None where it cannot be told."""
    if brain.device_type == "cuda":
        unused = torch.cuda.memory_reserved(brain.device) - torch.cuda.memory_allocated(brain.device)
        return torch.cuda.mem_get_info(brain.device)[0] + unused
    return available_memory()


def check_largest_batch(brain: ASRBrain, training_set: TrainingSet) -> str:
    """Try the largest batch of the epoch; what it takes, in words. Raises RecipeError where it does not fit."""
    # A transducer has logits for every frame with every token, and both grow with the seconds of an utterance.
    power = 2 if isinstance(brain.model.decoder, Transducer) else 1
    batch = training_set.read(training_set.largest(power))
    free, taken = free_memory(brain), step_memory(brain, batch)
    of = f" of {free / GB:.1f} GB free" if free else ""
    return (
        f"largest batch: {len(batch.ids)} utterances, {padded_seconds(batch):.0f} s of padded audio, "
        f"{taken / GB:.2f} GB{of} on {brain.device}"
    )


def propose_batch_seconds(brain: ASRBrain, training_set: TrainingSet) -> str:
    """Which `batch_seconds` fits, in words, by the memory of two small batches of the longest utterances.

    Raises RecipeError where not even these fit, or free memory cannot be told.
    """
    free = free_memory(brain)
    if free is None:
        raise RecipeError("--find_batch: the free memory of this system cannot be told: try --batch_seconds by hand")
    asked = brain.hparams.batch_seconds
    durations = training_set.batches.seconds(training_set.batches.recordings())
    longest, most = durations.max(), min(asked, durations.sum())
    sizes = [max(share * most, (number + 1) * longest) for number, share in enumerate(SAMPLES)]
    batches = [training_set.read(training_set.longest(size)) for size in sizes]
    seconds = [padded_seconds(batch) for batch in batches]
    taken = [step_memory(brain, batch) for batch in batches]
    # On top come the optimizer's two numbers for each weight, and one for its gradient.
    fixed = 3 * sum(parameter.numel() * parameter.element_size() for parameter in brain.model.parameters())
    if seconds[1] <= seconds[0]:
        raise RecipeError("--find_batch: the training set is too small to tell: every batch_seconds holds all of it")
    each = (taken[1] - taken[0]) / (seconds[1] - seconds[0])
    fits = int((USABLE * free - fixed - taken[0] + each * seconds[0]) / each)
    if fits < longest:
        raise RecipeError(
            f"--find_batch: not even the longest utterance ({longest:.0f} s) fits {brain.device}: lower --max_seconds"
        )
    keep = same_steps(brain, asked / fits) if fits < asked else ""
    return (
        f"{free / GB:.1f} GB free on {brain.device}, {each / GB:.3f} GB a second of padded audio: batch_seconds up to "
        f"about {fits}; the recipe has {asked:g}. For steps of the recipe's size: --batch_seconds "
        f"{min(fits, int(asked))}{keep}"
    )


def same_steps(brain: ASRBrain, smaller: float) -> str:
    """The option by which a step stays as large as the recipe's, with batches so many times smaller."""
    together = getattr(brain.hparams, "global_batch", None)
    if together is None:
        return f" and --grad_accumulation_factor {max(1, round(smaller * brain.grad_accumulation_factor))}"
    return f" and --global_batch {max(1, round(smaller * together / ranks())) * ranks()}"
