"""Memory and time of one training step: python -m benchmarks.memory hparams/X.yaml … --frames 1500 3000 6000

`--part mixer` runs one mixer alone, `--part encoder` the encoder, both on one utterance of so many 40 ms frames;
`--part model` runs the whole model, from audio to the joint loss, on a batch of `--batch` such utterances.
Every figure comes from a process of its own, so that no run profits from memory that another one took.
`--table FILE` prints a file that `--out` wrote as a Markdown table.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import weakref
from itertools import pairwise
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixers import Context
from recipes.config.recipe import load
from recipes.cost import multiply_adds, parameter_count
from recipes.provenance import machine

COLUMNS = ("recipe", "mixer", "frames", "peak_mb", "step_s", "speech_s_per_s", "parameters", "multiply_adds_per_frame")


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="recipes in hparams/")
    parser.add_argument("--frames", type=int, nargs="+", default=[1500, 3000, 6000], help="encoder frames of 40 ms")
    parser.add_argument("--mixers", nargs="+", help="run every recipe with each of these instead of its own")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of the recipes to change")
    parser.add_argument("--part", choices=("mixer", "encoder", "model"), default="encoder")
    parser.add_argument("--batch", type=int, default=1, help="utterances in the batch")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3, help="steps timed after a warm-up (0: none, only count)")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the figures of this file, run nothing")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # a process of its own
    return parser.parse_args(argv)


def measure(options: argparse.Namespace) -> dict:
    """One recipe, one mixer, one length, in this process."""
    device, frames = torch.device(options.device), options.frames[0]
    utterances = options.batch if options.part == "model" else 1
    figures = {}
    if options.repeats:
        limit_memory(device)
        recipe, train = training_step(options, device)
        train()  # warm-up
        seconds = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            train()
            seconds.append(time.perf_counter() - start)
        figures["step_s"] = round(statistics.median(seconds), 4)
        figures["speech_s_per_s"] = round(utterances * frames * 0.04 / statistics.median(seconds), 1)
        figures["peak_mb"] = round(peak_mb(train, device), 1)
    if options.part != "model":  # CTC has no form without contents
        recipe, train, counted = count(options)
        figures = {**counted, **figures}
    if options.part == "mixer":
        figures |= about_mixer(recipe.hparams["layer_mixers"][0](recipe.hparams["d_model"]))
    return {
        "recipe": recipe.name,
        "mixer": recipe.hparams["mixer_name"],
        "frames": frames,
        "parameters": train.parameters,
        **figures,
    }


def count(options: argparse.Namespace):
    """Memory and multiply-adds from tensors without contents: what does not fit can be counted too."""
    with FakeTensorMode():
        recipe, train = training_step(options, torch.device("cpu"))
        per_frame = multiply_adds(lambda: train(backward=False)) // options.frames[0]
        peak = round(peak_mb(train, torch.device("cpu")), 1)
    return recipe, train, {"peak_mb": peak, "multiply_adds_per_frame": per_frame}


def about_mixer(mixer) -> dict:
    """Paper and year, None where there is none; numbers kept after 60 s in chunks of 16 frames (None: cannot)."""
    state = None if mixer.cannot_stream else mixer.state_size(1500, Context(16))
    return {"paper": mixer.paper, "year": mixer.year, "state": state}


def paper_link(paper: str | None) -> str:
    """An arXiv id or a URL as a Markdown link; a dash for a mixer without a paper."""
    if not paper:
        return "–"
    return f"[{paper}]({paper})" if "://" in paper else f"[{paper}](https://arxiv.org/abs/{paper})"


def training_step(options: argparse.Namespace, device):
    """The recipe, and a function that runs one step of what ``--part`` names."""
    overrides = {"data_folder": "none", **dict(pair.split("=", 1) for pair in options.set)}
    overrides |= {"mixer": options.mixers[0]} if options.mixers else {}
    recipe = load(Path(options.recipes[0]), overrides)
    module, step = PARTS[options.part](recipe.hparams, options.frames[0], options.batch, device)

    def train(backward: bool = True) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            loss = step()
        if backward:
            loss.backward()
            module.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    train.parameters = parameter_count(module)
    return recipe, train


def one_mixer(hparams: dict, frames: int, batch: int, device):
    mixer = placed(hparams["layer_mixers"][0](hparams["d_model"]), device)
    x = torch.randn(1, frames, hparams["d_model"], device=device, requires_grad=True)
    return mixer, lambda: mixer(x).float().square().mean()


def encoder(hparams: dict, frames: int, batch: int, device):
    module = placed(hparams["model"].encoder, device)
    x, lengths = torch.randn(1, frames, hparams["d_model"], device=device), torch.tensor([frames], device=device)
    return module, lambda: module(x, lengths).frames.float().square().mean()


def model(hparams: dict, frames: int, batch: int, device):
    from torch.nn.functional import cross_entropy, ctc_loss

    module = placed(hparams["model"], device)
    audio = 0.1 * torch.randn(batch, frames * 640 - 160, device=device)
    lengths = torch.full((batch,), audio.shape[1], device=device)
    tokens = torch.randint(3, hparams["vocab_size"], (batch, max(frames // 8, 1)), device=device)  # 3 a second

    def step():
        output = module(audio, lengths, tokens)
        sizes = torch.full_like(lengths, tokens.shape[1])
        log_probs = output.ctc_logits.float().log_softmax(-1).transpose(0, 1)
        ctc = ctc_loss(log_probs, tokens, output.encoded.lengths, sizes, zero_infinity=True)
        return ctc + cross_entropy(output.attention_logits.float().transpose(1, 2), tokens)

    return module, step


def placed(module, device):
    # A module of tensors without contents cannot be moved, not even to where it is.
    return (module if device.type == "cpu" else module.to(device)).train()


PARTS = {"mixer": one_mixer, "encoder": encoder, "model": model}


def peak_mb(train, device) -> float:
    """Most memory that the tensors of one training step take at once, beside what stood before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        train()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with TensorWatch() as watch:  # the resident size of a process counts what libraries keep for later
        train()
    return watch.most / 2**20


class TensorWatch(TorchDispatchMode):
    """Counts the bytes of all tensors made while it is on and still alive; ``most`` is their highest sum."""

    def __enter__(self):
        self.alive, self.taken, self.most = {}, 0, 0
        return super().__enter__()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        before = {one.untyped_storage()._cdata for one in tensors((arguments, options))}
        result = function(*arguments, **(options or {}))
        for storage in (one.untyped_storage() for one in tensors(result)):
            key = storage._cdata
            if key not in before and key not in self.alive:
                size = storage.nbytes()
                self.alive[key] = weakref.ref(storage, lambda _, key=key, size=size: self.drop(key, size))
                self.taken += size
                self.most = max(self.most, self.taken)
        return result

    def drop(self, key: int, size: int) -> None:
        del self.alive[key]
        self.taken -= size


def tensors(tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def limit_memory(device) -> None:
    """Let an allocation that the machine cannot hold fail, rather than let the system kill what it likes."""
    if device.type == "cpu" and sys.platform == "linux":
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + int(0.9 * free), resource.RLIM_INFINITY))


def in_own_process(options: argparse.Namespace, recipe: str, mixer: str | None, frames: int) -> dict:
    command = [
        sys.executable,
        "-m",
        "benchmarks.memory",
        recipe,
        "--one",
        "--frames",
        str(frames),
        "--part",
        options.part,
    ]
    command += ["--batch", str(options.batch), "--precision", options.precision, "--device", options.device]
    command += ["--repeats", str(options.repeats)] + (["--mixers", mixer] if mixer else [])
    command += ["--set", *options.set] if options.set else []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    said = (done.stderr.strip().splitlines() or ["killed"])[-1]
    if done.returncode < 0 or "memory" in said.lower():
        said = "does not fit"
    return {"recipe": Path(recipe).stem, "mixer": mixer or "", "frames": frames, "problem": said}


def markdown(file: Path) -> str:
    """A table with one row a mixer (and recipe): peak memory by length, and its growth per doubling of the length."""
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    lengths = sorted({row["frames"] for row in rows})
    groups = {}
    for row in rows:
        groups.setdefault((row["recipe"], row["mixer"]), {})[row["frames"]] = row
    several = len({recipe for recipe, _ in groups}) > 1
    with_papers = "paper" in rows[0]
    head = [*(["recipe"] if several else []), "mixer", "parameters", f"multiply-adds per frame at {lengths[0]:,}"]
    head += [f"MB at {frames:,}" for frames in lengths] + ["growth"]
    head += ["state after 60 s", "paper", "year"] if with_papers else []
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (recipe, mixer), by_length in groups.items():
        first = next((row for row in by_length.values() if "problem" not in row), {})
        peaks = [by_length.get(frames, {}).get("peak_mb") for frames in lengths]
        growth = [f"{b / a:.2f}" for a, b in pairwise(peaks) if a and b]
        cells = [*([recipe] if several else []), mixer, f"{first.get('parameters', 0):,}"]
        cells += [f"{first.get('multiply_adds_per_frame', 0):,}"]
        cells += [f"{peak:,.0f}" if peak else "does not fit" for peak in peaks] + [", ".join(growth)]
        if with_papers:
            state = "cannot stream" if first.get("state") is None else f"{first['state']:,}"
            cells += [state, paper_link(first.get("paper")), str(first.get("year") or "–")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv=None) -> int:
    options = arguments(argv)
    if options.table:
        print(markdown(options.table))
        return 0
    if options.part == "model" and not options.repeats:
        print("error: --part model can only be run: give --repeats 1 or more", file=sys.stderr)
        return 2
    if options.one:
        print(json.dumps(measure(options)))
        return 0
    print(f"{COLUMNS[0]:32}" + "".join(f"{name:>{len(name) + 8}}" for name in COLUMNS[1:]))
    rows = []
    for recipe in options.recipes:
        for mixer in options.mixers or [None]:
            for frames in options.frames:
                row = in_own_process(options, recipe, mixer, frames)
                rows.append(row)
                cells = "".join(f"{row.get(name, '')!s:>{len(name) + 8}}" for name in COLUMNS[1:])
                print(f"{row['recipe']:32}{cells}", row.get("problem", ""), flush=True)
    if options.out:
        command = " ".join(["python -m benchmarks.memory", *(argv or sys.argv[1:])])
        about = {"command": command, "machine": machine(options.device)}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any("problem" in row and row["problem"] != "does not fit" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
