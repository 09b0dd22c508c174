"""What every encoder shares: its output, the stack of blocks, the feed-forward layer."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixers.base import Context, Mixer, lengths_to_mask, zero_padding
from mixers.dropout import Dropout
from recipes.models.depthwise import ConvState, DepthwiseConv
from recipes.models.frame_wise import frame_wise


class Encoded(NamedTuple):
    """Encoder output: frames ``[B, T, d_model]`` and their lengths, int64 ``[B]``."""

    frames: Tensor
    lengths: Tensor


class BlockState(NamedTuple):
    """The streaming states of a block's parts; that of the mixer is of the mixer's own type."""

    mixer: object
    conv: ConvState


class EncoderState(NamedTuple):
    """The streaming state of an encoder.

    chunk: frames of a chunk, int64 ``[B]``, on the CPU. waiting: frames ``[B, <chunk, d_model]`` of a chunk that is
    not complete.
    """

    chunk: Tensor
    waiting: Tensor
    blocks: tuple[BlockState, ...]


class Block(nn.Module):
    """A layer of an encoder: a mixer, and a convolution beside or after it."""

    mixer: Mixer

    @property
    def depthwise(self) -> DepthwiseConv:
        """The convolution over time."""
        raise NotImplementedError

    def forward(self, x: Tensor, mask: Tensor | None, context: Context | None = None) -> Tensor:
        """``[B, T, d_model]`` → the same shape. mask: bool ``[B, T]``, True = real frame; None = all are."""
        raise NotImplementedError

    def step(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """The next chunk ``[B, <= chunk, d_model]``; equal to ``forward(…, context)`` on the whole utterance."""
        raise NotImplementedError

    def init_state(self, batch: int, context: Context) -> BlockState:
        return BlockState(self.mixer.init_state(batch, context), self.depthwise.init_state(batch, context))

    def state_size(self, frames: int, context: Context | None = None) -> int:
        return self.mixer.state_size(frames, context) + self.depthwise.state_size(frames, context)


class Encoder(nn.Module):
    """A stack of blocks, each called with frames, mask and context, then a LayerNorm.

    checkpoint_blocks: keep only the input of each block, and compute the block again for backward (Chen et al. 2016,
    "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174). It takes less memory and gives the same digits.
    """

    checkpoint_blocks = False

    def __init__(self, d_model: int, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = nn.LayerNorm(d_model, eps=1e-6)

    def forward(self, frames: Tensor, lengths: Tensor, context: Context | None = None) -> Encoded:
        """frames ``[B, T, d_model]`` of 40 ms and their lengths → the same shape. Padded frames are zero.

        context: what a frame may see, as in a stream; None: the whole utterance.
        """
        mask = lengths_to_mask(lengths, frames.shape[1])
        for block in self.blocks:
            if self.checkpoint_blocks and torch.is_grad_enabled():
                frames = checkpoint(block, frames, mask, context, use_reentrant=False)
            else:
                frames = block(frames, mask, context)
        return Encoded(zero_padding(self.final_norm(frames), mask), lengths)

    def init_state(self, batch: int, context: Context) -> EncoderState:
        """The state of ``batch`` streams before their first frame. Raises ValueError where a layer cannot stream."""
        blocks = tuple(block.init_state(batch, context) for block in self.layers())
        waiting = self.final_norm.weight.new_zeros(batch, 0, *self.final_norm.normalized_shape)
        return EncoderState(torch.full((batch,), context.chunk), waiting, blocks)

    def step(self, frames: Tensor, state: EncoderState, last: bool = False) -> tuple[Tensor, EncoderState]:
        """The next frames ``[B, T, d_model]``, however many → the encoded frames of the chunks that they complete.

        last: no frames follow, so the last chunk may have fewer frames.
        """
        frames = torch.cat([state.waiting, frames.to(state.waiting.dtype)], 1)
        chunk_size = int(state.chunk[0])
        whole = frames.shape[1] if last else frames.shape[1] // chunk_size * chunk_size
        encoded, blocks = [], state.blocks
        for chunk in frames[:, :whole].split(chunk_size, 1) if whole else ():
            states = []
            for block, before in zip(self.layers(), blocks, strict=True):
                chunk, after = block.step(chunk, before)
                states.append(after)
            encoded.append(self.final_norm(chunk))
            blocks = tuple(states)
        y = torch.cat(encoded, 1) if encoded else frames[:, :0]
        return y, EncoderState(state.chunk, frames[:, whole:], blocks)

    def state_size(self, frames: int, context: Context | None = None) -> int:
        """Numbers kept after ``frames`` frames, which are whole chunks."""
        return sum(block.state_size(frames, context) for block in self.layers())

    def layers(self) -> Iterable[Block]:
        return cast(Iterable[Block], self.blocks)


class FeedForward(nn.Module):
    """Feed-forward layer, normalised first.

    norm_eps: of its LayerNorm; None: no LayerNorm, where the caller normalises. activation: a module class.
    SpeechBrain's layer transposes batch and time before and after, which copies both times; this one does not.
    """

    def __init__(
        self,
        d_model: int,
        d_ffn: int,
        dropout: float,
        activation: Callable[[], nn.Module],
        norm_eps: float | None = 1e-5,
    ):
        super().__init__()
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(d_model, eps=norm_eps)
        self.up, self.activation, self.down = nn.Linear(d_model, d_ffn), activation(), nn.Linear(d_ffn, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, T, d_model]`` → the same shape, to be added to ``x``."""
        return frame_wise(self.transform, x)

    def transform(self, x: Tensor) -> Tensor:
        hidden = self.dropout(self.activation(self.up(self.norm(x))))
        return self.dropout(self.down(hidden))
