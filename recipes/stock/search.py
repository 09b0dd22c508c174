"""SpeechBrain's own beam search with the weights of ours, and a judge of what either finds.

Stock decodes with TransformerASR, S2STransformerBeamSearcher and CTCScorer; ours is recipes/search.py. Both look for
the sentence with the best joint score, so `joint_score` tells which search did better.
"""

import copy
from typing import NamedTuple

import torch
from speechbrain.decoders.scorer import CTCScorer, ScorerBuilder
from speechbrain.decoders.seq2seq import S2STransformerBeamSearcher
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.linear import Linear
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.beam_search import BeamSearch
from recipes.decoding.search import Hypothesis
from recipes.models.decoder import TransformerDecoder
from recipes.models.encoder import Encoded
from recipes.stock.names import COMPUTED, stock_name

UNUSED = "1.custom_src_module."  # stock's projection of the front end, which no search runs


class Task(NamedTuple):
    """What every searcher is given: decoder, encoded utterances, their CTC log probabilities ``[B, T, vocab]``."""

    decoder: TransformerDecoder
    encoded: Encoded
    ctc_log_probs: Tensor

    def utterance(self, row: int) -> "Task":
        """One utterance alone, without padding."""
        length = self.encoded.lengths[row : row + 1]
        rows = slice(row, row + 1), slice(int(length))
        return Task(self.decoder, Encoded(self.encoded.frames[rows], length), self.ctc_log_probs[rows])


class Given(nn.Module):
    """Stands for stock's CTC layer: the log probabilities that the other searcher was given."""

    def __init__(self, log_probs: Tensor):
        super().__init__()
        self.log_probs = log_probs

    def forward(self, frames: Tensor) -> Tensor:
        return self.log_probs


def stock_decoder(decoder: TransformerDecoder) -> tuple[TransformerASR, Linear]:
    """Stock's Transformer, without encoder, and its output layer, with the weights of ``decoder``."""
    layer, (vocab_size, d_model) = decoder.layers[0], decoder.out.weight.shape
    transformer = TransformerASR(
        vocab_size,
        1,
        d_model=d_model,
        nhead=layer.heads,
        num_encoder_layers=0,
        num_decoder_layers=len(decoder.layers),
        d_ffn=layer.feed_forward[1].out_features,
        dropout=0.0,
        activation=type(layer.feed_forward[2]),
        normalize_before=True,
        causal=False,
    )
    model = nn.ModuleList([nn.Identity(), transformer, Linear(input_size=d_model, n_neurons=vocab_size)])
    stock: dict[str, list[Tensor]] = {}
    for name, weight in decoder.state_dict().items():  # stock: cross_query and cross_key_value in one, in that order
        stock.setdefault(stock_name(f"decoder.{name}", "Conformer"), []).append(weight)
    missing, unexpected = model.load_state_dict({name: torch.cat(parts) for name, parts in stock.items()}, strict=False)
    left = [name for name in missing if not name.startswith(UNUSED) and not COMPUTED.fullmatch(name)]
    if left or unexpected:
        raise ValueError(f"stock_decoder: no weights for {left}, no place for {unexpected}")
    model.to(decoder.out.weight).eval()
    return model[1], model[2]


def stock_search(task: Task, search: BeamSearch, *, partial: bool) -> S2STransformerBeamSearcher:
    """Stock's searcher with the beam, CTC weight and temperature of ``search``.

    partial: CTC scores only twice as many tokens as the beam is wide, those that the decoder likes best; otherwise
    all, as stock's LibriSpeech recipes have it. Those recipes also divide scores by the length, so that stock would
    look for something else than the best joint score; here it does not.
    """
    ctc = CTCScorer(Given(task.ctc_log_probs), blank_index=BLANK, eos_index=END)
    scorers = {"partial_scorers" if partial else "full_scorers": [ctc]}
    return S2STransformerBeamSearcher(
        modules=list(stock_decoder(task.decoder)),
        bos_index=START,
        eos_index=END,
        min_decode_ratio=0.0,
        max_decode_ratio=1.0,
        beam_size=search.beam,
        using_eos_threshold=False,
        length_normalization=False,
        temperature=search.temperature,
        scorer=ScorerBuilder(weights={"ctc": search.ctc_weight}, scorer_beam_scale=2, **scorers),
    )


@torch.no_grad()
def run_stock(searcher: S2STransformerBeamSearcher, encoded: Encoded) -> list[Hypothesis]:
    """The best hypothesis of every utterance, with stock's own score."""
    relative = encoded.lengths / encoded.frames.shape[1]
    sentences, _, scores, _ = searcher(encoded.frames, relative)
    return [Hypothesis(sentence, score) for sentence, score in zip(sentences, scores.tolist(), strict=True)]


@torch.no_grad()
def joint_score(task: Task, tokens: list[int], search: BeamSearch) -> float:
    """The joint log probability of a sentence for the one utterance of ``task``, in float64 and by neither search.

    The decoder sees the whole sentence at once; CTC sums over its alignments by torch's ctc_loss.
    """
    decoder = copy.deepcopy(task.decoder).double().eval()
    encoded = Encoded(task.encoded.frames.double(), task.encoded.lengths)
    logits = decoder(encoded, torch.tensor([[START, *tokens]]))[0] / search.temperature
    attention = logits.log_softmax(-1)[torch.arange(len(tokens) + 1), torch.tensor([*tokens, END])].sum()
    ctc = -ctc_loss(
        task.ctc_log_probs.double().transpose(0, 1),
        torch.tensor([tokens], dtype=torch.long),
        encoded.lengths,
        torch.tensor([len(tokens)]),
        blank=BLANK,
        reduction="sum",
    )
    return float((1 - search.ctc_weight) * attention + search.ctc_weight * ctc)
