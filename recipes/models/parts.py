"""Whether what a recipe names for the parts of its model can be these parts, and whether they fit together."""

import inspect
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from data_prep.tokenizer import START
from recipes.errors import RecipeError, is_of_the_machine
from recipes.models.encoder import Encoded
from recipes.models.recogniser import Recogniser

TORCH = str(Path(torch.__file__).parent)


class PartUse(NamedTuple):
    """How a part is used. inputs: what `forward` is called with, in order. other: what else is read of it."""

    inputs: tuple[str, ...]
    other: tuple[str, ...] = ()


PARTS = {
    "features": PartUse(("audio", "lengths")),
    "normalize": PartUse(("features", "lengths"), ("measure",)),
    "augment": PartUse(("features", "lengths"), ("views",)),
    "frontend": PartUse(("features", "lengths"), ("subsampling",)),
    "encoder": PartUse(("frames", "lengths", "context")),
    "decoder": PartUse(("encoded", "tokens"), ("prepare",)),
}
LANGUAGE_MODEL = PartUse(("tokens",), ("init_cache", "step", "vocab_size"))


def check_parts(path: Path, hparams: Mapping, *, from_samples: bool = True) -> None:
    """Raises RecipeError, one line, for a recogniser that cannot compute two short utterances of silence.

    Its parts must take what they are called with and fit each other, and its outputs must be the tokenizer's. All this
    would otherwise be found once the data are prepared, or after the training.

    from_samples: False begins after the features, whose filters FakeTensorMode cannot make.
    """
    model = hparams["model"]
    if not isinstance(model, Recogniser):
        raise RecipeError(f"{path}: model must be a recipes.models.Recogniser, not {type(model).__name__}")
    for name, part in PARTS.items():
        given = getattr(model, name)
        if (given is None and name == "decoder") or (name == "features" and not from_samples):
            continue
        check_part(path, f"model.{name}", given, part)
    with trial(path, model) as compute:
        try_recogniser(compute, model, hparams["vocab_size"], from_samples)


def check_language_model(path: Path, hparams: Mapping) -> None:
    """Raises RecipeError, one line, for a language model that cannot read three tokens, or has other outputs."""
    model = hparams["language_model"]
    check_part(path, "language_model", model, LANGUAGE_MODEL)
    with trial(path, model) as compute:
        outputs = compute("language_model", model, torch.full((1, 3), START)).shape[-1]
        compute.check_outputs("language_model", outputs, hparams["vocab_size"])


def check_part(path: Path, name: str, given: object, part: PartUse) -> None:
    if lacking := what_lacks(given, part):
        kind = type(given).__name__
        raise RecipeError(f"{path}: {name}: {kind} {lacking}; give one of recipes.models, or a class that does")


def what_lacks(given: object, part: PartUse) -> str | None:
    """What keeps it from being this part, in words."""
    if not isinstance(given, nn.Module):
        return "is no torch.nn.Module"
    try:
        inspect.signature(given.forward).bind(*part.inputs)
    except TypeError:
        return f"does not take ({', '.join(part.inputs)})"
    missing = [name for name in part.other if not hasattr(given, name)]
    return f"does not have {', '.join(missing)}" if missing else None


class Trial:
    """Calls the parts of a model; an error of theirs becomes a RecipeError that names part, input and place."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, name: str, part: nn.Module, *inputs: Any) -> Any:
        try:
            return part(*inputs)
        except Exception as error:
            if is_of_the_machine(error):
                raise
            reason = (str(error).splitlines() or [""])[0]
            raise RecipeError(
                f"{self.path}: {name} cannot take its input {shape_of(inputs[0])}: {type(error).__name__}: {reason}"
                f"{place_of(error)}; do the sizes of the parts go together?"
            ) from error

    def check_outputs(self, name: str, outputs: int, vocab_size: int) -> None:
        if outputs != vocab_size:
            raise RecipeError(
                f"{self.path}: {name} has {outputs} outputs, and the tokenizer vocab_size {vocab_size}: they must be "
                "as many"
            )


@contextmanager
def trial(path: Path, model: nn.Module) -> Iterator[Trial]:
    """Without gradients and dropout; the model and the random numbers of the run stay as they are.

    On one thread: for so little several would wait for each other, for seconds where the machine is busy.
    """
    was_training, threads = model.training, torch.get_num_threads()
    fake_tensors = logging.getLogger("torch._subclasses.fake_tensor")
    fake_tensors.disabled = True  # it would print the traceback of what becomes one line
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.eval()
            yield Trial(path)
    finally:
        torch.set_num_threads(threads)
        model.train(was_training)
        fake_tensors.disabled = False


def try_recogniser(compute: Trial, model: Recogniser, vocab_size: int, from_samples: bool) -> None:
    """Two utterances, one of half the length, through all parts."""
    compute.check_outputs("model.ctc", model.ctc.out_features, vocab_size)
    if from_samples:
        lengths = torch.tensor([6400, 3200])
        features, lengths = compute("model.features", model.features, torch.zeros(2, 6400), lengths)
    else:
        features, lengths = torch.zeros(2, 40, model.n_mels), torch.tensor([40, 20])
    features = compute("model.normalize", model.normalize, features, lengths)
    features = compute("model.augment", model.augment, features, lengths)
    frames, lengths = compute("model.frontend", model.frontend, features, lengths)
    encoded = compute("model.encoder", model.encoder, frames, lengths, None)
    if not isinstance(encoded, Encoded):
        kind = type(encoded).__name__
        raise RecipeError(f"{compute.path}: model.encoder must return recipes.models.Encoded, not {kind}")
    compute("model.ctc", model.ctc, encoded.frames)
    if model.decoder is not None:
        for token in (START, vocab_size - 1):
            logits = compute("model.decoder", model.decoder, encoded, torch.full((2, 3), token))
            compute.check_outputs("model.decoder", logits.shape[-1], vocab_size)


def shape_of(value: Any) -> list[int]:
    tensor: Tensor = value.frames if isinstance(value, Encoded) else value
    return list(tensor.shape)


def place_of(error: Exception) -> str:
    """Where in a part's code the error arose; nothing for one of torch's modules."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((TORCH, __file__))]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
