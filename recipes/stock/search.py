"""SpeechBrain's own beam search with the weights of ours, and a score that belongs to neither search.

SpeechBrain decodes with TransformerASR, S2STransformerBeamSearcher and CTCScorer; ours is
recipes.decoding.BeamSearch. Both look for the sentence with the best joint score, so `joint_score` shows which
search did better.
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

UNUSED = "1.custom_src_module."  # SpeechBrain's projection of the front end, which no search runs


class SearchTask(NamedTuple):
    """The input of a search: decoder, encoded utterances, and their CTC log probabilities ``[B, T, vocab_size]``."""

    decoder: TransformerDecoder
    encoded: Encoded
    ctc_log_probs: Tensor

    def utterance(self, row: int) -> "SearchTask":
        """One utterance by itself, without padding."""
        length = self.encoded.lengths[row : row + 1]
        rows = slice(row, row + 1), slice(int(length))
        return SearchTask(self.decoder, Encoded(self.encoded.frames[rows], length), self.ctc_log_probs[rows])


class FixedLogProbs(nn.Module):
    """Stands in for SpeechBrain's CTC layer, and returns the log probabilities that our search gets."""

    def __init__(self, log_probs: Tensor):
        super().__init__()
        self.log_probs = log_probs

    def forward(self, frames: Tensor) -> Tensor:
        return self.log_probs


def stock_decoder(decoder: TransformerDecoder) -> tuple[TransformerASR, Linear]:
    """SpeechBrain's Transformer, without encoder, and its output layer, with the weights of ``decoder``."""
    layer, (vocab_size, d_model) = decoder.layers[0], decoder.out.weight.shape
    transformer = TransformerASR(
        vocab_size,
        1,
        d_model=d_model,
        nhead=layer.heads,
        num_encoder_layers=0,
        num_decoder_layers=len(decoder.layers),
        d_ffn=layer.ffn.up.out_features,
        dropout=0.0,
        activation=type(layer.ffn.activation),
        normalize_before=True,
        causal=False,
    )
    model = nn.ModuleList([nn.Identity(), transformer, Linear(input_size=d_model, n_neurons=vocab_size)])
    stock: dict[str, list[Tensor]] = {}
    for name, weight in decoder.state_dict().items():  # cross_query, then cross_kv: one tensor of SpeechBrain's
        stock.setdefault(stock_name(f"decoder.{name}", "Conformer")[0], []).append(weight)
    missing, unexpected = model.load_state_dict({name: torch.cat(parts) for name, parts in stock.items()}, strict=False)
    lacking = [name for name in missing if not name.startswith(UNUSED) and not COMPUTED.fullmatch(name)]
    if lacking or unexpected:
        raise ValueError(f"stock_decoder: no weights for {lacking}, no place for {unexpected}")
    model.to(decoder.out.weight).eval()
    return model[1], model[2]


def stock_search(task: SearchTask, search: BeamSearch, *, partial: bool) -> S2STransformerBeamSearcher:
    """SpeechBrain's searcher with the beam, CTC weight and temperature of ``search``.

    partial: CTC scores only twice as many tokens as the beam is wide, those that the decoder likes best; otherwise
    all, as in SpeechBrain's LibriSpeech recipes. Those recipes also divide scores by the length, so that they look
    for something else than the best joint score; here they do not.
    """
    ctc = CTCScorer(FixedLogProbs(task.ctc_log_probs), blank_index=BLANK, eos_index=END)
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
    """The best hypothesis of every utterance, with SpeechBrain's own score."""
    relative = encoded.lengths / encoded.frames.shape[1]
    sentences, _, scores, _ = searcher(encoded.frames, relative)
    return [Hypothesis(sentence, score) for sentence, score in zip(sentences, scores.tolist(), strict=True)]


@torch.no_grad()
def joint_score(task: SearchTask, tokens: list[int], search: BeamSearch) -> float:
    """The joint log probability of a sentence for a ``task`` of one utterance, in float64, by neither search.

    The decoder gets the whole sentence at once; torch's ctc_loss sums over its alignments.
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
