"""Softmax attention with relative positions: the baseline of most published recipes."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import SoftmaxAttention
from .base import check_even
from .dropout import dropout
from .positions import sinusoids
from .scaled_dot_product import as_scores, blocks_of_rows, join, rows_of


class RelposAttention(SoftmaxAttention):
    """Attention with Transformer-XL relative positions (https://arxiv.org/abs/1901.02860, section 3.3).

    As SpeechBrain's RelPosMHAXL: content and position biases u and v, a projection of the position vectors,
    and position vectors that are the same for a distance to either side. Options and errors are those of
    SoftmaxAttention; d_model must be even.
    """

    paper = "1901.02860"
    year = 2019

    def __init__(self, d_model: int, *, heads: int = 4, scale: str = "head", dropout: float = 0.0):
        super().__init__(d_model, heads=heads, scale=scale, dropout=dropout)
        check_even("RelposAttention", "d_model", d_model)
        self.position_projection = nn.Linear(d_model, d_model, bias=False)
        self.content_bias = nn.Parameter(torch.empty(heads, d_model // heads))
        self.position_bias = nn.Parameter(torch.empty(heads, d_model // heads))
        nn.init.xavier_uniform_(self.content_bias)
        nn.init.xavier_uniform_(self.position_bias)

    def attend(self, queries, keys, values, position, visible):
        # A vector for each distance, the same to either side. That from the last query to the first key comes first,
        # that from the first query to the last key comes last.
        distances = torch.arange(keys.shape[2], device=keys.device)
        vectors = self.position_projection(sinusoids(distances, self.out.weight.shape[0], keys.dtype))
        vectors = torch.cat([vectors.flip(0), vectors[1 : queries.shape[2]]])
        vectors = vectors.unflatten(-1, (self.heads, -1)).permute(1, 2, 0)
        by_position = (queries + self.position_bias[:, None]) * self.scale
        by_content = (queries + self.content_bias[:, None]) * self.scale
        mixed = []
        for rows in blocks_of_rows(queries, keys):
            # A short block meets half of the distances that all rows together meet.
            first, last = queries.shape[2] - rows.stop, queries.shape[2] - rows.start + keys.shape[2] - 1
            added = per_pair(by_position[:, :, rows] @ vectors[..., first:last], keys.shape[2])
            if visible is not None:
                added = added + as_scores(rows_of(visible, rows), added)
            mixed.append(self.mix(by_content[:, :, rows], keys, values, added))
        return join(mixed)

    def mix(self, scaled_queries: Tensor, keys: Tensor, values: Tensor, added: Tensor) -> Tensor:
        """The weighted values of some queries, whose scores are their products with the keys and what is ``added``."""
        if not (self.training or torch.is_grad_enabled()):  # torch's kernel has no gradient for what is added to scores
            return functional.scaled_dot_product_attention(scaled_queries, keys, values, added, scale=1.0)
        scores = (scaled_queries @ keys.transpose(-1, -2)).add_(added)
        weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(values.dtype)
        return dropout(weights, self.dropout, self.training) @ values


def per_pair(by_distance: Tensor, keys: int) -> Tensor:
    """Scores ``[…, queries, queries + keys - 1]`` by distance → ``[…, queries, keys]`` by pair.

    Row i needs the columns from queries - 1 - i on. Read as rows of one column less, from column queries - 1 of the
    first row on, the same memory has them first in each row.
    """
    queries = by_distance.shape[-2]
    if torch.compiler.is_exporting():
        # Rows of as many columns, for one query too: a graph has one form.
        by_distance = functional.pad(by_distance, (0, 1))
    elif queries == 1:
        return by_distance
    return by_distance.flatten(-2)[..., queries - 1 : -1].unflatten(-1, (queries, -1))[..., :keys]
