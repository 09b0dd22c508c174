"""A mixer behind the call signatures of other libraries' self-attention: modules that take attention's place."""

from torch import Tensor, nn

from recipes.errors import RecipeError
from recipes.stock.masks import hidden_frames, mask_and_context


class InPlaceOfAttention(nn.Module):
    """A mixer called as the attention was. In place of attention weights, which no mixer has, stands None.

    name: of the attention in its model, for errors. Positions that the model hands over are passed over: a mixer
    has its own, or none. Calls raise RecipeError, one line, for other keys and values than the queries, and for
    masks that the mixer cannot take.
    """

    def __init__(self, mixer: nn.Module, name: str, d_model: int):
        super().__init__()
        self.mixer, self.name, self.embed_dim = mixer, name, d_model

    def mix(self, x: Tensor, padding: Tensor | None, hidden: Tensor | None) -> Tensor:
        """x ``[B, T, d_model]``; padding, hidden: as in `mask_and_context`, in any of the forms of `hidden_frames`."""
        try:
            mask, context = mask_and_context(hidden_frames(padding), hidden_frames(hidden), *x.shape[:2])
        except RecipeError as error:
            raise RecipeError(f"{self.name}: {error}") from None
        if context is None:
            return self.mixer(x, mask)
        reason = getattr(self.mixer, "cannot_stream", "")
        if reason:
            raise RecipeError(
                f"{self.name}: the model's mask says {context}, which {type(self.mixer).__name__} cannot take: {reason}"
            )
        return self.mixer(x, mask, context)

    def check_self_attention(self, query: Tensor, *others: Tensor | None) -> None:
        if not all(other is None or same_tensor(other, query) for other in others):
            raise RecipeError(
                f"{self.name}: a mixer has no other keys and values than its frames: it is for self-attention"
            )


class InPlaceOfSpeechBrain(InPlaceOfAttention):
    """What the signatures of SpeechBrain's modules have in common: their names, in another order each."""

    def answer(self, query, key, value, key_padding_mask, attn_mask, return_attn_weights):
        self.check_self_attention(query, key, value)
        mixed = self.mix(query, key_padding_mask, attn_mask)
        return (mixed, None) if return_attn_weights else mixed


class InPlaceOfRegularMHA(InPlaceOfSpeechBrain):
    """The signature of SpeechBrain's MultiheadAttention and HyperMixing."""

    def forward(
        self, query, key, value, attn_mask=None, key_padding_mask=None, return_attn_weights=True, pos_embs=None
    ):
        return self.answer(query, key, value, key_padding_mask, attn_mask, return_attn_weights)


class InPlaceOfRelPosMHAXL(InPlaceOfSpeechBrain):
    """The signature of SpeechBrain's RelPosMHAXL."""

    def forward(
        self, query, key, value, pos_embs=None, key_padding_mask=None, attn_mask=None, return_attn_weights=True
    ):
        return self.answer(query, key, value, key_padding_mask, attn_mask, return_attn_weights)


class InPlaceOfRoPEMHA(InPlaceOfSpeechBrain):
    """The signature of SpeechBrain's RoPEMHA."""

    def forward(
        self, query, key, value, key_padding_mask=None, attn_mask=None, pos_embs=None, return_attn_weights=True
    ):
        return self.answer(query, key, value, key_padding_mask, attn_mask, return_attn_weights)


class InPlaceOfTorch(InPlaceOfAttention):
    """The signature of torch.nn.MultiheadAttention, batch first or not, also for one utterance ``[T, d_model]``."""

    # torch.nn.TransformerEncoderLayer calls no module, but computes attention by itself, unless this is so.
    in_proj_bias = None

    def __init__(self, mixer: nn.Module, name: str, d_model: int, batch_first: bool):
        super().__init__(mixer, name, d_model)
        self.batch_first = batch_first

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,  # says only that attn_mask is so, which is seen anyway
    ):
        self.check_self_attention(query, key, value)
        if query.dim() == 2:
            padding = None if key_padding_mask is None else key_padding_mask[None]
            return self.mix(query[None], padding, attn_mask)[0], None
        if self.batch_first:
            return self.mix(query, key_padding_mask, attn_mask), None
        return self.mix(query.transpose(0, 1), key_padding_mask, attn_mask).transpose(0, 1), None


class InPlaceOfTransformers(InPlaceOfAttention):
    """The signature of Wav2Vec2Attention and HubertAttention; bool and integer masks say what is seen."""

    def forward(self, hidden_states, key_value_states=None, attention_mask=None, **other):
        self.check_self_attention(hidden_states, key_value_states)
        if attention_mask is None:
            return self.mix(hidden_states, None, None), None
        hidden = attention_mask if attention_mask.is_floating_point() else attention_mask == 0
        if hidden.dim() == 2:
            return self.mix(hidden_states, hidden, None), None
        return self.mix(hidden_states, None, hidden), None


def same_tensor(first: Tensor, second: Tensor) -> bool:
    """Whether both are the same memory, read alike."""
    return first is second or (
        first.data_ptr() == second.data_ptr() and first.shape == second.shape and first.stride() == second.stride()
    )
