"""What is searched: utterances of a trained run, and synthetic sentences."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from data_prep.corpus import Corpus
from data_prep.tokenizer import BLANK, END, START, load_tokenizer
from recipes.asr import data
from recipes.asr.audio import AudioReader
from recipes.asr.utterances import read_utterances
from recipes.config import load
from recipes.errors import RecipeError
from recipes.models import Encoded, TransformerDecoder
from recipes.stock.search import SearchTask
from recipes.training import TOKENIZER, WEIGHTS, load_weights


class RunTasks:
    """Utterances of the first test set of a run, evenly spread from the longest to the shortest, and its model.

    Raises RecipeError or DataError, one line each, for a folder without a trained run or its audio.
    """

    def __init__(self, folder: Path, data_folder: str | None, utterances: int):
        for name in ("recipe.yaml", WEIGHTS):
            if not (folder / name).is_file():
                raise RecipeError(f"{folder} has no {name}: give the folder of a run that was trained and tested")
        manifests = sorted(folder.glob("manifests/test*.csv"))
        if not manifests:
            raise RecipeError(f"{folder} has no manifests/test*.csv: give the folder of a run that was tested")
        hparams = load(folder / "recipe.yaml", {"data_folder": data_folder} if data_folder else {}).hparams
        self.split, self.model, self.search = manifests[0].stem, hparams["model"].eval(), hparams["test_search"]
        if self.model.decoder is None or self.search is None:
            raise RecipeError(f"{folder}: the run decodes by CTC alone, so there is no joint search to compare")
        self.model.load_state_dict(load_weights(folder / WEIGHTS))
        root, tokenizer = Corpus.named_by(hparams).root, load_tokenizer(folder / TOKENIZER)
        dataset = read_utterances(manifests[0], root, AudioReader(), tokenizer)
        number = min(utterances, len(dataset))
        self.items = [dataset[index * len(dataset) // number] for index in range(number)]

    @torch.no_grad()
    def task(self, start: int, batch: int) -> SearchTask:
        """A batch of utterances of similar lengths."""
        audio = data.collate(self.items[start : start + batch])
        encoded = self.model.encode(audio.audio, audio.lengths)
        return SearchTask(self.model.decoder, encoded, self.model.ctc(encoded.frames).log_softmax(-1))


@torch.no_grad()
def synthetic(
    batch: int,
    frames: int,
    *,
    vocab_size: int = 5000,
    d_model: int = 144,
    heads: int = 4,
    layers: int = 4,
    d_ffn: int = 1024,
    frames_per_token: int = 8,
    seed: int = 0,
) -> SearchTask:
    """Random sentences, CTC peaks that spell them, and a decoder that predicts them; of conformer_small's size.

    A random decoder would never end where CTC does, and partial scoring would never meet the right tokens. So the
    output layer of this decoder is fitted to its states for these sentences; all else is random.
    """
    torch.manual_seed(seed)
    decoder = TransformerDecoder(d_model, vocab_size, layers=layers, heads=heads, d_ffn=d_ffn, dropout=0.0).eval()
    tokens = frames // frames_per_token
    sentences = 3 + torch.randperm(vocab_size - 3)[: batch * tokens].view(batch, tokens)
    encoded = Encoded(torch.randn(batch, frames, d_model), torch.full((batch,), frames))

    logits = torch.randn(batch, frames, vocab_size)
    logits[..., BLANK] = 14
    peaks = frames_per_token // 2 + frames_per_token * torch.arange(tokens)
    logits[torch.arange(batch)[:, None], peaks, sentences] = 16.5  # about 0.9 of the frame; most of the rest is blank

    states = decoder_states(decoder, encoded, torch.cat([torch.full((batch, 1), START), sentences], 1))
    next_tokens = torch.cat([sentences, torch.full((batch, 1), END)], 1).flatten()
    # Each next token gets e^14 times the probability of any other.
    fitted = torch.linalg.pinv(states) @ (14.0 * one_hot(next_tokens, vocab_size))
    decoder.out.weight.copy_(fitted.T)
    decoder.out.bias.zero_()[[BLANK, START]] = -20.0
    return SearchTask(decoder, encoded, logits.log_softmax(-1))


def decoder_states(decoder: TransformerDecoder, encoded: Encoded, tokens: Tensor) -> Tensor:
    """The input of the output layer for every token: ``[B, U]`` → ``[B * U, d_model]``."""
    states = []
    hook = decoder.final_norm.register_forward_hook(lambda module, inputs, output: states.append(output))
    decoder(encoded, tokens)
    hook.remove()
    return states[0].flatten(0, 1)
