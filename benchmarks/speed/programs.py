"""What programs do: a whole training step, a search, a transcription, a chunk of a stream; ours and SpeechBrain's."""

from collections.abc import Callable, Iterator, Mapping

import torch
from speechbrain.core import Stage
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils import clip_grad_norm_

from benchmarks.search.tasks import synthetic
from benchmarks.speed.modules import FRAMES_PER_SECOND, HPARAMS
from benchmarks.speed.timing import Case
from benchmarks.stock_parity.stock_brain import StockBrain
from data_prep.tokenizer import START
from mixers import Context
from recipes.asr.data import Batch
from recipes.asr.loss import joint_loss
from recipes.config import load
from recipes.decoding import BeamSearch, greedy_ctc
from recipes.stock.search import run_stock, stock_search

RATE = 16000
STEPS = ("quickstart", "hyperconformer_8M", "conformer_small", "conformer_summarymixing_100h")
TRANSCRIBED = ("quickstart", "conformer_summarymixing_100h")
WITH_STOCK = ("conformer_small", "hyperconformer_8M")
CHUNK = 16  # frames of 40 ms
TOKENS_PER_SECOND = 3
SHORTEST = 0.8  # of the longest utterance of a batch


def speech(batch: int, seconds: float, vocab_size: int) -> Batch:
    """Noise of so many seconds at most, and random tokens."""
    samples = torch.linspace(SHORTEST * seconds * RATE, seconds * RATE, batch).long()
    if batch == 1:
        samples = torch.tensor([int(seconds * RATE)])
    tokens = torch.randint(3, vocab_size, (batch, max(int(seconds * TOKENS_PER_SECOND), 1)))
    lengths = torch.full((batch,), tokens.shape[1])
    return Batch([""] * batch, 0.1 * torch.randn(batch, int(samples.max())), samples, tokens, lengths, [""] * batch)


def our_step(hparams: Mapping, batch: Batch) -> Callable[[], object]:
    model = hparams["model"].train()
    return whole_step(hparams, list(model.parameters()), lambda: our_loss(hparams, batch))


def our_loss(hparams: Mapping, batch: Batch) -> Tensor:
    output = hparams["model"](batch.audio, batch.lengths, pad(batch.tokens, (1, 0), value=START))
    smoothing = hparams["label_smoothing"]
    return joint_loss(output, batch, ctc_weight=hparams["ctc_weight"], label_smoothing=smoothing).joint


def stock_step(hparams: Mapping, batch: Batch) -> Callable[[], object]:
    """SpeechBrain's features, normalisation, masks, model and losses as its recipe wires them."""
    brain = StockBrain(hparams, None, tokenizer=None, record=lambda *_: None)
    brain.epoch = 1
    brain.modules.train()

    def loss() -> Tensor:
        return brain.compute_objectives(brain.compute_forward(batch, Stage.TRAIN), batch, Stage.TRAIN)

    return whole_step(hparams, list(brain.modules.parameters()), loss)


def whole_step(hparams: Mapping, parameters: list, loss: Callable[[], Tensor]) -> Callable[[], object]:
    """Forward, backward, clipping and optimizer, both sides alike."""
    optimizer = hparams["opt_class"](parameters)

    def step() -> None:
        loss().backward()
        clip_grad_norm_(parameters, hparams["max_grad_norm"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def step_cases(seconds: list[float], batches: list[int], overrides: Mapping | None = None) -> Iterator[Case]:
    """A training step from samples to new weights: features, SpecAugment, model, joint loss, optimizer."""
    for name in STEPS:
        hparams = load(HPARAMS / f"{name}.yaml", {"data_folder": "none", **(overrides or {})}).hparams
        for length in seconds:
            for size in batches:
                batch = speech(size, length, hparams["vocab_size"])
                peers = {"SpeechBrain": stock_step(hparams, batch)} if name in WITH_STOCK else {}
                sizes = {"mode": "training", "seconds_of_speech": length, "batch": size}
                yield Case("steps", name, our_step(hparams, batch), peers, sizes)


def search_cases(frames: int, batches: list[int], beam: int, **sizes: int) -> Iterator[Case]:
    """The joint search on synthetic sentences (`benchmarks.search`), of the size of conformer_small."""
    for batch in batches:
        task, search = synthetic(batch, frames, **sizes), BeamSearch(beam=beam, ctc_weight=0.4)
        stock = stock_search(task, search, partial=True)
        yield Case(
            "decoding",
            f"joint search, beam {beam}",
            lambda task=task, search=search: search(task.decoder, task.encoded, task.ctc_log_probs),
            {"SpeechBrain": lambda stock=stock, task=task: run_stock(stock, task.encoded)},
            {"mode": "inference", "frames": frames, "batch": batch},
            counted=False,
        )


def transcription_cases(seconds: list[float], overrides: Mapping | None = None) -> Iterator[Case]:
    """Time samples to tokens by greedy CTC, one recording at a time, and the next chunk of a stream."""
    for name in TRANSCRIBED:
        hparams = load(HPARAMS / f"{name}.yaml", {"data_folder": "none", **(overrides or {})}).hparams
        model = hparams["model"].eval()
        for length in seconds:
            audio = 0.1 * torch.randn(1, int(length * RATE))
            sizes = {"mode": "inference", "seconds_of_speech": length, "batch": 1}
            yield Case("transcription", name, lambda model=model, audio=audio: transcribe(model, audio), {}, sizes)
        state = model.init_state(1, Context(CHUNK))
        chunk = 0.1 * torch.randn(1, CHUNK * model.frame_samples)
        with torch.inference_mode():
            for _ in range(4):  # past the start
                _, state = model.step(chunk, state)
        sizes = {"mode": "inference", "seconds_of_speech": CHUNK / FRAMES_PER_SECOND, "batch": 1}
        yield Case("streaming", name, lambda model=model, chunk=chunk, state=state: model.step(chunk, state), {}, sizes)


@torch.inference_mode()
def transcribe(model, audio: Tensor) -> list[list[int]]:
    output = model(audio, torch.tensor([audio.shape[1]]))
    return greedy_ctc(output.ctc_logits.log_softmax(-1), output.encoded.lengths)
