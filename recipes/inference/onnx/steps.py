"""The chunks of streams through an exported model, by numpy. Imports no torch."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recipes.inference.streams.chunks import Chunks

SAMPLES_STATE = "features.samples"  # the state in which a stream's first samples stand
OnnxState = Mapping[str, np.ndarray]
RunGraph = Callable[..., Sequence[np.ndarray]]  # a graph: inputs by name, outputs in order


class Steps:
    """Runs the steps of streams.

    run: the graph, from inputs by name to outputs in order. chunks: how samples become chunks. state: for each name its
    type and sizes. A state is batch first, so streams that began at different times may be computed together.
    """

    def __init__(self, run: RunGraph, chunks: Chunks, state: Mapping[str, Sequence]):
        self.run, self.chunks, self.shapes = run, chunks, state

    def first_state(self, samples: np.ndarray) -> tuple[OnnxState, np.ndarray]:
        """The state of streams that begin with ``[N, samples]``, and the samples that are left for the first chunk."""
        state = {name: np.zeros((len(samples), *shape), kind) for name, (kind, *shape) in self.shapes.items()}
        count = self.chunks.first_samples
        first = samples[:, :count]
        before = state[SAMPLES_STATE].shape[1] - count
        state[SAMPLES_STATE][:, before : before + first.shape[1]] = first
        return state, samples[:, count:]

    def step(self, samples: np.ndarray, state: OnnxState, frames: int | None = None) -> tuple[np.ndarray, OnnxState]:
        """Compute ``frames`` frames from the next samples ``[N, n]``, filled up with zeros. None: a whole chunk."""
        frames = frames or self.chunks.chunk
        audio = np.zeros((len(samples), frames * self.chunks.frame_samples), np.float32)
        audio[:, : samples.shape[1]] = samples
        lengths = np.full(len(samples), samples.shape[1])
        values, *after = self.run(audio=audio.reshape(len(audio), frames, -1), lengths=lengths, **state)
        return values, dict(zip(self.shapes, after, strict=True))

    def finish(self, samples: np.ndarray, state: OnnxState) -> np.ndarray:
        """Compute the last samples of streams, ``[N, n]``, however many: ``[N, frames, …]``."""
        values = []
        while (frames := self.last_frames(samples.shape[1])) > self.chunks.chunk:
            chunk, samples = np.split(samples, [self.chunks.samples], 1)
            missing = self.chunks.samples - chunk.shape[1]
            value, state = self.step(np.pad(chunk, ((0, 0), (0, missing))), state)
            values.append(value)
        return np.concatenate([*values, self.step(samples, state, frames)[0]], 1)

    def last_frames(self, samples: int) -> int:
        """How many frames a stream still has that ends after ``samples`` more samples."""
        return 1 + (samples + self.chunks.first_samples) // self.chunks.frame_samples
