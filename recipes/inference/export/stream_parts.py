"""The next chunk of streams as a module from tensors to tensors, with all state outside."""

import re
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_leaves, tree_unflatten

from mixers import Context
from mixers.base import lengths_to_mask, zero_padding
from recipes.errors import RecipeError
from recipes.inference.export.parts import DftLogMel, Part, largest_distance, transducer_of
from recipes.inference.onnx.info import CTC, TRANSDUCER
from recipes.inference.onnx.steps import RunGraph, Steps
from recipes.inference.streams.chunks import Chunks
from recipes.models import LogMel, Recogniser
from recipes.models.encoder import BlockState
from recipes.models.features import SamplesState
from recipes.models.frontend import FrontendState

TRIED = [(3, 3.4), (1, 2.0)]  # streams, and chunks of noise


class PartStates(NamedTuple):
    """The states of those parts of a recogniser that keep something from one chunk to the next."""

    features: SamplesState
    frontend: FrontendState
    blocks: tuple[BlockState, ...]


class StreamPart(Part):
    """The next chunk of N streams ``[N, frames, samples of a frame]``, the real samples, int64 ``[N]``, and the state.

    Gives CTC's log probabilities ``[N, frames, vocab_size]`` and the state after them. All chunks but the last have
    ``context.chunk`` frames; the last one may have fewer, and is filled up with zeros. Raises RecipeError for a model
    that cannot stream, and for one whose state grows with time.
    """

    head_name, output = CTC, "log_probs"

    def __init__(self, model: Recogniser, context: Context):
        super().__init__()
        self.model, self.features, self.context = model.eval(), DftLogMel(cast(LogMel, model.features)), context
        self.chunks = Chunks(context.chunk, model.frame_samples, model.features.latency_samples)
        try:
            began = model.init_state(1, context)
        except ValueError as error:
            raise RecipeError(str(error)) from None
        if self.features.window_length % 2:
            raise RecipeError(f"--part stream: a window of {self.features.window_length} samples: only even numbers do")
        _, after = model.step(torch.zeros(1, self.chunks.samples + self.chunks.first_samples), began)
        first, second = (PartStates(state.features, state.frontend, state.encoder.blocks) for state in (began, after))
        # The first samples of a stream make room for the overlap that later chunks have.
        first = first._replace(features=SamplesState(torch.zeros_like(second.features.samples)))
        leaves = zip(tree_leaves(first), tree_leaves(second), strict=True)
        if any(before.shape != after.shape for before, after in leaves):
            raise RecipeError("--part stream: what attention keeps grows with the stream: bound it by --left_chunks N")
        paths, self.structure = tree_flatten_with_path(first)
        self.names = [re.sub(r"\[(\d+)\]", r".\1", keystr(path)).lstrip(".") for path, _ in paths]
        self.first = [leaf for _, leaf in paths]
        self.inputs = ("audio", "lengths", *self.state_shapes())
        self.outputs = (self.output, *(f"next_{name}" for name in self.state_shapes()))

    def state_shapes(self) -> dict[str, list[Any]]:
        """Type and sizes of each tensor that a stream keeps, by name; without those that are always empty."""
        named = zip(self.names, self.first, strict=True)
        return {name: [str(leaf.numpy().dtype), *leaf.shape[1:]] for name, leaf in named if leaf.numel()}

    def forward(self, audio: Tensor, lengths: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        given, batch = iter(state), audio.shape[0]
        leaves = [next(given) if leaf.numel() else leaf.new_zeros(batch, *leaf.shape[1:]) for leaf in self.first]
        before = PartStates(*tree_unflatten(leaves, self.structure))
        overlap = before.features.samples
        samples = torch.cat([overlap, audio.flatten(1)], 1)
        features = self.model.normalize.normalized(self.features.log_mel(samples))
        x, frontend = self.subsample(features, self.real_features(lengths), before.frontend)
        blocks = []
        for block, block_state in zip(self.model.encoder.layers(), before.blocks, strict=True):
            x, block_state = block.step(x, block_state)
            blocks.append(block_state)
        after = PartStates(SamplesState(samples[:, samples.shape[1] - overlap.shape[1] :]), frontend, tuple(blocks))
        kept = [leaf for leaf, like in zip(tree_leaves(after), self.first, strict=True) if like.numel()]
        return self.head(self.model.encoder.final_norm(x)), kept

    def real_features(self, lengths: Tensor) -> Tensor:
        """Feature frames of so many samples after the overlap, the last of which may end the stream."""
        return 1 + (lengths + self.chunks.first_samples) // self.features.hop

    def subsample(self, features: Tensor, lengths: Tensor, state: FrontendState) -> tuple[Tensor, FrontendState]:
        """`ConvFrontend.step` of whole frames, and of the last one: zeros come after its feature frames."""
        frontend, x, inputs = self.model.frontend, features[..., None], []
        for conv, norm, earlier in zip(*frontend.layers(), state.inputs, strict=True):
            x = torch.cat([earlier, zero_padding(x, lengths_to_mask(lengths, x.shape[1]))], 1)
            inputs.append(x[:, x.shape[1] - 1 :])
            x, lengths = frontend.convolve(conv, norm, x), (lengths + 1) // 2
        return frontend.project(x.flatten(2)), FrontendState(tuple(inputs))

    def head(self, frames: Tensor) -> Tensor:
        return self.model.ctc(frames).log_softmax(-1)

    def example(self, batch: int, seconds: float) -> tuple[Any, ...]:
        """Random inputs of one chunk. seconds: not used."""
        chunks = self.chunks
        audio = 0.1 * torch.randn(batch, chunks.chunk, chunks.frame_samples)
        state = [leaf.new_zeros(batch, *leaf.shape[1:]) for leaf in self.first if leaf.numel()]
        return audio, torch.full((batch,), chunks.samples), state

    def dynamic_shapes(self) -> tuple[Any, ...]:
        batch, audio, chunk = torch.export.Dim("batch"), {}, self.chunks.chunk
        if chunk > 1:  # else no chunk has fewer
            audio = {1: torch.export.Dim("frames", min=1, max=chunk)}
        return {0: batch, **audio}, {0: batch}, [{0: batch} for leaf in self.first if leaf.numel()]

    @torch.no_grad()
    def difference(self, run: RunGraph) -> float:
        """The largest difference from the recogniser's own stream, chunk by chunk up to its end."""
        steps, largest = Steps(run, self.chunks, self.state_shapes()), 0.0
        for streams, chunks in TRIED:
            audio = 0.1 * torch.randn(streams, round(chunks * self.chunks.samples))
            needed = self.chunks.samples + self.chunks.first_samples
            expected_state = self.model.init_state(streams, self.context)
            state, samples = steps.first_state(audio.numpy())
            while not (is_last := audio.shape[1] < needed):
                output, expected_state = self.model.step(audio[:, :needed], expected_state)
                values, state = steps.step(samples[:, : self.chunks.samples], state)
                largest = max(largest, distance(values, self.head(output.encoded.frames)))
                audio, samples, needed = audio[:, needed:], samples[:, self.chunks.samples :], self.chunks.samples
            output, _ = self.model.step(audio, expected_state, is_last)
            largest = max(largest, distance(steps.finish(samples, state), self.head(output.encoded.frames)))
        return largest


class TransducerStreamPart(StreamPart):
    """As `StreamPart`, with frames as the joint network takes them ``[N, frames, joint_size]``."""

    head_name, output = TRANSDUCER, "encoder_out"

    def head(self, frames: Tensor) -> Tensor:
        return transducer_of(self.model).of_frame(frames)


def distance(values: np.ndarray, expected: Tensor) -> float:
    return largest_distance(torch.from_numpy(values), expected)
