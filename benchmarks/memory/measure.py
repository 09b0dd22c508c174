"""A training step of a mixer, an encoder or a model on utterances of a given length, measured in this process."""

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import cross_entropy, ctc_loss

from data_prep.errors import DataError
from mixers import Context
from recipes.config import Recipe, load
from recipes.cost import TensorWatch, available_memory, multiply_adds, parameter_count

FRAME_SECONDS = 0.04
STREAMING = Context(16)  # the context of the state that is reported
STREAMED_FRAMES = 1500  # 60 s


class Step(NamedTuple):
    """A module in training, and a function that gives the loss of a step."""

    module: nn.Module
    loss: Callable[[], Tensor]


def measure(options: argparse.Namespace) -> dict:
    """The figures of the first recipe, mixer and length among the options of `benchmarks.memory.command`."""
    device, frames = torch.device(options.device), options.frames[0]
    utterances = options.batch if options.part == "model" else 1
    figures = {}
    if options.repeats:
        limit_memory(device)
        recipe, step = build(options, device)
        seconds = time_steps(step, options, device)
        figures["step_s"] = round(seconds, 4)
        figures["speech_s_per_s"] = round(utterances * frames * FRAME_SECONDS / seconds, 1)
        figures["peak_mb"] = round(peak_mb(lambda: train(step, options, device), device), 1)
    if options.part != "model":  # CTC has no form without contents
        recipe, step, counts = count(options)
        figures = {**counts, **figures}
    if options.part == "mixer":
        figures |= describe_mixer(recipe.hparams["layer_mixers"][0](recipe.hparams["d_model"]))
    return {
        "recipe": recipe.name,
        "mixer": recipe.hparams["mixer_name"],
        "frames": frames,
        "parameters": parameter_count(step.module),
        **figures,
    }


def count(options: argparse.Namespace) -> tuple[Recipe, Step, dict]:
    """Memory and multiply-adds from tensors without contents, so that what does not fit can be counted too."""
    device = torch.device("cpu")
    with FakeTensorMode():
        recipe, step = build(options, device)
        per_frame = multiply_adds(lambda: forward(step, options, device)) // options.frames[0]
        peak = peak_mb(lambda: train(step, options, device), device)
    return recipe, step, {"peak_mb": round(peak, 1), "multiply_adds_per_frame": per_frame}


def describe_mixer(mixer: nn.Module) -> dict:
    """Paper and year, where the class has them, and the numbers kept after 60 s of streaming (None: cannot stream)."""
    state = None if mixer.cannot_stream else mixer.state_size(STREAMED_FRAMES, STREAMING)
    return {"paper": getattr(mixer, "paper", None), "year": getattr(mixer, "year", None), "state": state}


def build(options: argparse.Namespace, device: torch.device) -> tuple[Recipe, Step]:
    """The recipe, and the training step of what ``--part`` names."""
    overrides = {"data_folder": "none", **dict(pair.split("=", 1) for pair in options.set)}
    overrides |= {"mixer": options.mixers[0]} if options.mixers else {}
    recipe = load(Path(options.recipes[0]), overrides)
    recipe.hparams["model"].encoder.checkpoint_blocks = recipe.hparams.get("checkpoint_blocks", False)
    if options.part == "mixer" and "+" in recipe.hparams["mixer_name"]:
        raise DataError(f"--part mixer measures one mixer, not {recipe.hparams['mixer_name']}: name it by --mixers")
    return recipe, STEPS[options.part](recipe.hparams, options.frames[0], options.batch, device)


def forward(step: Step, options: argparse.Namespace, device: torch.device) -> Tensor:
    with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        return step.loss()


def train(step: Step, options: argparse.Namespace, device: torch.device) -> None:
    """Forward and backward; the gradients are dropped again."""
    forward(step, options, device).backward()
    step.module.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()


def time_steps(step: Step, options: argparse.Namespace, device: torch.device) -> float:
    """Median seconds of ``--repeats`` steps after a warm-up."""
    train(step, options, device)
    seconds = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        train(step, options, device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def mixer_step(hparams: dict, frames: int, batch: int, device: torch.device) -> Step:
    mixer = in_training(hparams["layer_mixers"][0](hparams["d_model"]), device)
    x = torch.randn(1, frames, hparams["d_model"], device=device, requires_grad=True)
    return Step(mixer, lambda: mixer(x).float().square().mean())


def encoder_step(hparams: dict, frames: int, batch: int, device: torch.device) -> Step:
    encoder = in_training(hparams["model"].encoder, device)
    x, lengths = torch.randn(1, frames, hparams["d_model"], device=device), torch.tensor([frames], device=device)
    return Step(encoder, lambda: encoder(x, lengths).frames.float().square().mean())


def model_step(hparams: dict, frames: int, batch: int, device: torch.device) -> Step:
    model = in_training(hparams["model"], device)
    audio = 0.1 * torch.randn(batch, frames * 640 - 160, device=device)
    lengths = torch.full((batch,), audio.shape[1], device=device)
    tokens = torch.randint(3, hparams["vocab_size"], (batch, max(frames // 8, 1)), device=device)  # 3 a second

    def loss() -> Tensor:
        output = model(audio, lengths, tokens)
        token_lengths = torch.full_like(lengths, tokens.shape[1])
        log_probs = output.ctc_logits.float().log_softmax(-1).transpose(0, 1)
        ctc = ctc_loss(log_probs, tokens, output.encoded.lengths, token_lengths, zero_infinity=True)
        return ctc + cross_entropy(output.decoder_logits.float().transpose(1, 2), tokens)

    return Step(model, loss)


STEPS = {"mixer": mixer_step, "encoder": encoder_step, "model": model_step}


def in_training(module: nn.Module, device: torch.device) -> nn.Module:
    # A module of tensors without contents cannot be moved, not even to where it is.
    return (module if device.type == "cpu" else module.to(device)).train()


def peak_mb(run: Callable[[], object], device: torch.device) -> float:
    """Most memory (MiB) that the tensors of a call of `run` take at once, beside those that existed before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with TensorWatch() as watch:  # the resident size of a process counts what libraries keep for later
        run()
    return watch.peak / 2**20


def limit_memory(device: torch.device) -> None:
    """Let an allocation that the machine cannot hold fail, rather than let the system kill any process."""
    if device.type == "cpu" and sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        if free := available_memory():
            resource.setrlimit(resource.RLIMIT_AS, (used + int(0.9 * free), resource.RLIM_INFINITY))
