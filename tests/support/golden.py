"""Compare the mixers with reference vectors: ``python -m tests.support.golden FOLDER``.

Each ``METHOD[_VARIANT][_dSIZE…].npz`` in FOLDER holds a mixer's weights by role, an input ``x``
``[B, T, d]``, perhaps ``lengths`` ``[B]``, and the output ``y`` of the method's published
implementation. The mixer is built from the name and the arrays' sizes, filled, and run three ways: the
batch as it is, the batch with garbage in its padding, and each row alone. Prints the largest difference of
each file; exits with 1 if a difference is above the limit, with 2 if FOLDER cannot be used.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixers import XNOR, Context, HyperMixing, Mixer, SummaryMixing
from mixers.base import lengths_to_mask

LIMITS = {torch.float64: 1e-6, torch.float32: 2e-5}
# Files whose reference itself ran in float32.
SINGLE = ("hypermixing", "summarymixing_chunked", "summarymixing_expdecay", "xnor_cos")

Arrays = dict[str, Tensor]


def build_summarymixing(variant: set[str], arrays: Arrays) -> Mixer:
    name = next(iter(variant & {"lite", "fast", "expdecay"}), "full")
    first = "joint" if name == "fast" else "summary"
    sizes = [bias.numel() for bias in layers(arrays, first, "bias")]
    summary_size = sizes[-1] // 2 if name == "fast" else sizes[-1]
    options = {"decay": arrays["decay"].item()} if "decay" in arrays else {}
    if name != "lite":
        options["local_size"] = arrays["merge.0.weight"].shape[-2] - summary_size
    mixer = SummaryMixing(
        arrays["x"].shape[-1],
        heads=int(arrays["heads"]),
        hidden_sizes=None if name == "fast" else sizes[:-1],
        summary_size=summary_size,
        variant=name,
        **options,
    )
    for role in ("local", "summary", "joint"):
        if hasattr(mixer, role):
            mlp = getattr(mixer, role)
            for parameter, array in zip(mlp.weights, layers(arrays, role, "weight"), strict=True):
                fill(parameter, array)
            for parameter, array in zip(mlp.biases, layers(arrays, role, "bias"), strict=True):
                fill(parameter, array)
    if name != "lite":
        fill(mixer.merge.weight, arrays["merge.0.weight"][0].T)
        fill(mixer.merge.bias, arrays["merge.0.bias"][0])
    return mixer


def build_hypermixing(variant: set[str], arrays: Arrays) -> Mixer:
    mixer = HyperMixing(
        arrays["x"].shape[-1],
        heads=int(arrays["heads"]),
        hypernet_size=int(arrays["hypernet_size"]),
        tied=all(arrays[f"w1.{role}"].equal(arrays[f"w2.{role}"]) for role in ("fc1_weights", "fc2_weights")),
    )
    for name, hypernet in (("w1", mixer.w1), ("w2", mixer.w2)):
        for role in ("fc1_weights", "fc1_biases", "fc2_weights", "fc2_biases"):
            fill(getattr(hypernet, role), arrays[f"{name}.{role}"])
    fill(mixer.norm.weight, arrays["norm.weight"])
    fill(mixer.norm.bias, arrays["norm.bias"])
    return mixer


def build_xnor(variant: set[str], arrays: Arrays) -> Mixer:
    name = "_".join(word for word in ("term", "gated", "weighted", "cos") if word in variant)
    mixer = XNOR(
        arrays["x"].shape[-1],
        heads=int(arrays["heads"]),
        variant=name or "plain",
        feature_map="sigmoid" if "sigmoid" in variant else "softmax",
    )
    for kind in ("weight", "bias"):  # the files keep query, key and value apart
        arrays[f"qkv.{kind}"] = torch.cat([arrays[f"{role}.{kind}"] for role in ("query", "key", "value")])
    for name, parameter in mixer.named_parameters():
        fill(parameter, arrays[name])
    return mixer


BUILDERS = {"summarymixing": build_summarymixing, "hypermixing": build_hypermixing, "xnor": build_xnor}


def layers(arrays: Arrays, role: str, kind: str) -> list[Tensor]:
    """The arrays ``role.0.kind``, ``role.1.kind``, … in their order."""
    names = [name for name in arrays if re.fullmatch(rf"{role}\.\d+\.{kind}", name)]
    return [arrays[name] for name in sorted(names, key=lambda name: int(name.split(".")[1]))]


def fill(parameter: Tensor, array: Tensor) -> None:
    if parameter.shape != array.shape:
        raise ValueError(f"a weight of shape {list(array.shape)} where the mixer has {list(parameter.shape)}")
    with torch.no_grad():
        parameter.copy_(array)


def differences(file: Path) -> Iterator[tuple[str, float]]:
    """The largest difference to the reference in each way of running the mixer of ``file``."""
    with np.load(file) as stored:
        arrays = {name: torch.from_numpy(np.array(array)) for name, array in stored.items()}
    dtype = precision(file)
    method, *variant = file.stem.split("_")
    if method not in BUILDERS:
        raise ValueError(f"no mixer named '{method}'; known are {', '.join(BUILDERS)}")
    mixer = BUILDERS[method](set(variant), arrays).to(dtype).eval()
    context = None
    if "chunk" in arrays:
        left_chunks = int(arrays["left_chunks"]) if "left_chunks" in arrays else -1
        context = Context(int(arrays["chunk"]), None if left_chunks < 0 else left_chunks)
    x, y = arrays["x"].to(dtype), arrays["y"]
    lengths = arrays.get("lengths", torch.full(x.shape[:1], x.shape[1]))
    mask = lengths_to_mask(lengths, x.shape[1])
    garbage = torch.cat([x.where(mask[..., None], 1e3 * torch.randn_like(x)), torch.randn_like(x)], 1)
    longer = lengths_to_mask(lengths, garbage.shape[1])

    def largest(output: Tensor, row: int, length: int) -> float:
        difference = (output.double() - y[row, :length].double()).abs().max().item()
        return math.inf if math.isnan(difference) else difference

    with torch.no_grad():
        batch, noisy = mixer(x, mask, context), mixer(garbage, longer, context)
        for name, output in (("batch", batch), ("garbage in the padding", noisy)):
            yield name, max(largest(output[row, :n], row, n) for row, n in enumerate(lengths.tolist()))
        rows = (mixer(x[row, None, :n], None, context)[0] for row, n in enumerate(lengths.tolist()))
        yield "rows alone", max(largest(output, row, len(output)) for row, output in enumerate(rows))


def precision(file: Path) -> torch.dtype:
    return torch.float32 if file.stem.startswith(SINGLE) else torch.float64


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.golden", description=__doc__.split(":")[0] + ".")
    parser.add_argument("folder", type=Path, help="folder of .npz files")
    folder = parser.parse_args().folder
    files = sorted(folder.glob("*.npz"))
    if not files:
        parser.error(f"no .npz file in {folder}")
    wrong = 0
    for file in files:
        try:
            by_way = dict(differences(file))
        except (ValueError, KeyError) as error:
            reason = f"no array {error}" if isinstance(error, KeyError) else error
            print(f"{file.stem}: cannot be run: {reason}")
            wrong += 1
            continue
        dtype = precision(file)
        way = max(by_way, key=by_way.get)
        verdict = "ok" if by_way[way] <= LIMITS[dtype] else f"WRONG ({way})"
        wrong += verdict != "ok"
        print(f"{file.stem}: {by_way[way]:.1e} in {str(dtype).removeprefix('torch.')}, {verdict}")
    print(f"{len(files) - wrong} of {len(files)} agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
