"""A language of tones, and a small model that hears it: texts that do not hang on the last bit of the samples."""

import itertools
from collections.abc import Iterable

import numpy as np
import torch
from torch.nn.functional import ctc_loss

from data_prep.tokenizer import BLANK
from mixers import Context
from recipes.config import load
from recipes.inference import Transcriber
from recipes.inference.recognition.loaded_model import LoadedModel
from tests.support.runs import ROOT

HERTZ = {"A": 500, "E": 1100, "O": 2300, "T": 4700}
WHISTLE = 16000 - HERTZ["O"]
SECONDS, PAUSE = 0.16, 0.12  # of a letter, and after it
CHUNK = 4
SIZES = {
    "d_model": 32,
    "heads": 1,
    "layers": 1,
    "d_ffn": 32,
    "kernel_size": 3,
    "vocab_size": 32,
    "dropout": 0.0,
    "model.frontend.channels": [8, 4],
}


def spoken(word: str, rate: int = 16000, loudness: float = 0.1) -> np.ndarray:
    """``[samples]`` of tones that fade in and out."""
    time = np.arange(round(SECONDS * rate)) / rate
    pause, fade = np.zeros(round(PAUSE * rate)), np.minimum(np.minimum(time, SECONDS - time) / 0.02, 1)
    tones = (loudness * fade * np.sin(2 * np.pi * HERTZ[letter] * time) for letter in word)
    return np.concatenate([pause, *itertools.chain.from_iterable((tone, pause) for tone in tones)])


def said(words: Iterable[str], silence: float, rate: int) -> np.ndarray:
    """Words with so many seconds before, between and after them.

    A whistle breaks each silence where the rate has it. It lies above what speech has; folded down, it would be an O.
    """
    time = np.arange(round(silence * rate)) / rate
    heard = (np.abs(time - silence / 2) < SECONDS / 2) & (rate > 2 * WHISTLE)
    whistle = 0.1 * np.sin(2 * np.pi * WHISTLE * time) * heard
    return np.concatenate([whistle, *itertools.chain.from_iterable((spoken(word, rate), whistle) for word in words)])


def tone_transcriber(tokenizer, steps: int = 100) -> Transcriber:
    """Trained for a few seconds to write the letters of tones, in chunks of CHUNK frames. It never hears a space."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    keys = {**SIZES, "mixer": "conv_only", "data_folder": "unused", "test_search": None, "model.decoder": None}
    recipe = load(ROOT / "hparams" / "quickstart.yaml", keys)
    model = recipe.hparams["model"].eval()  # no masks on spectra
    model.normalize.mean.fill_(-40.0)
    model.normalize.std.fill_(20.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        words = ["".join(draw.choice(list(HERTZ), 4)) for _ in range(4)]
        audio = np.stack([spoken(word, loudness=draw.uniform(0.03, 0.3)) for word in words])
        audio = np.roll(audio, draw.integers(0, 640), 1) + 10 ** draw.uniform(-5, -3) * draw.normal(size=audio.shape)
        lengths = torch.full((len(words),), audio.shape[1])
        output = model.forward(torch.from_numpy(audio).float(), lengths, context=Context(CHUNK))
        log_probs = output.ctc_logits.log_softmax(-1).transpose(0, 1)
        targets = torch.tensor([[tokenizer.piece_to_id(letter) for letter in word] for word in words])
        loss = ctc_loss(log_probs, targets, output.encoded.lengths, torch.full((len(words),), 4), blank=BLANK)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Transcriber(LoadedModel(model, tokenizer, None, None, "tones", recipe), device="cpu")
