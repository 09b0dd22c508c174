"""Tiny models of stock SpeechBrain with random weights, saved as its recipes save them."""

import io
from pathlib import Path

import sentencepiece
import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.lobes.models.transformer.TransformerLM import TransformerLM
from speechbrain.nnet.linear import Linear
from speechbrain.processing.features import InputNormalization
from speechbrain.utils.checkpoints import Checkpointer
from torch import Tensor, nn

from tests.support.corpus import WORDS
from tests.support.models import randomised

ROOT = Path(__file__).parents[2]
VOCAB = 32
# Our mixers by the names of SpeechBrain.
MIXERS = {"RelPosMHAXL": "relpos_attention", "RoPEMHA": "attention", "hypermixing": "hypermixing"}
KINDS = [
    ("conformer", "RelPosMHAXL"),
    ("conformer", "RoPEMHA"),
    ("conformer", "hypermixing"),
    ("branchformer", "RelPosMHAXL"),
    ("branchformer", "hypermixing"),
]
HYPERPARAMS = """\
nhead: 2
activation: !name:torch.nn.GELU
n_fft: {n_fft}
compute_features: !new:speechbrain.lobes.features.Fbank
    n_fft: !ref <n_fft>
    n_mels: 80
    win_length: {win_length}
Transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR
    nhead: !ref <nhead>
    activation: !ref <activation>
    attention_type: {attention}
    normalize_before: True
    causal: {causal}
normalize: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
"""


class Stock:
    """Features, normalisation, front end, Transformer and heads of a stock recipe, 16 wide."""

    def __init__(self, encoder: str, attention: str, *, n_fft: int = 400, win_length: int = 25):
        torch.manual_seed(3)
        self.encoder, self.attention, self.n_fft, self.win_length = encoder, attention, n_fft, win_length
        self.features = Fbank(n_fft=n_fft, win_length=win_length, n_mels=80)
        self.normalize = InputNormalization(norm_type="global", update_until_epoch=4)
        cnn = ConvolutionFrontEnd(
            (8, 10, 80),
            num_blocks=2,
            num_layers_per_block=1,
            out_channels=(6, 4),
            kernel_sizes=(3, 3),
            strides=(2, 2),
            residuals=(False, False),
        )
        transformer = TransformerASR(
            VOCAB,
            80,
            d_model=16,
            nhead=2,
            num_encoder_layers=2,
            num_decoder_layers=1,
            d_ffn=24,
            kernel_size=7,
            activation=nn.GELU,
            encoder_module=encoder,
            attention_type=attention,
            normalize_before=True,
            causal=False,
            csgu_linear_units=12,
        )
        heads = Linear(input_size=16, n_neurons=VOCAB), Linear(input_size=16, n_neurons=VOCAB)
        self.model = randomised(nn.ModuleList([cnn, transformer, *heads]))
        for seed in range(3):
            self.normalize(self.features(noise(9000, seed)[None]), torch.ones(1), epoch=1)
        self.normalize.eval()

    @torch.no_grad()
    def __call__(self, audio: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One utterance: encoder frames, CTC logits, logits of the decoder."""
        cnn, transformer, seq_lin, ctc_lin = self.model
        features = self.normalize(self.features(audio[None]), torch.ones(1))
        encoded, decoded = transformer(cnn(features), tokens[None], torch.ones(1), pad_idx=0)
        return encoded[0], ctc_lin(encoded)[0], seq_lin(decoded)[0]

    def save(self, folder: Path, *, hyperparams: bool = True, causal: bool = False) -> Path:
        """A checkpoint in ``folder/save``, tokenizer and language model beside it; returns its folder."""
        checkpointer = Checkpointer(folder / "save", {"model": self.model, "normalizer": self.normalize})
        (folder / "save" / "tokenizer.ckpt").write_bytes(tokenizer())
        torch.save(TransformerLM(VOCAB, d_model=16, nhead=2, d_ffn=16).state_dict(), folder / "save" / "lm.ckpt")
        if hyperparams:
            text = HYPERPARAMS.format(
                n_fft=self.n_fft, win_length=self.win_length, attention=self.attention, causal=causal
            )
            (folder / "hyperparams.yaml").write_text(text)
        return checkpointer.save_checkpoint().path

    def recipe(self, folder: Path, **keys) -> Path:
        """Our recipe of the same model."""
        encoder = "encoder: {csgu_units: 12}" if self.encoder == "branchformer" else "encoder: {dropout: 0.0}"
        settings = {
            "mixer": MIXERS[self.attention],
            "d_model": 16,
            "heads": 2,
            "layers": 2,
            "d_ffn": 24,
            "kernel_size": 7,
            "decoder_layers": 1,
            "vocab_size": VOCAB,
            **keys,
        }
        lines = [
            f"base: {ROOT / 'hparams' / self.encoder}.yaml",
            *(f"{key}: {value}" for key, value in settings.items()),
        ]
        path = folder / "ours.yaml"
        path.write_text("\n".join([*lines, "model:", "  frontend: {channels: [6, 4]}", f"  {encoder}\n"]))
        return path


def noise(samples: int, seed: int = 0) -> Tensor:
    """Noise with silence in the middle, where SpeechBrain's clamp at 80 dB below the loudest frame has an effect."""
    audio = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    audio[samples // 3 : samples // 2] *= 1e-6
    return audio


def tokenizer() -> bytes:
    """A SentencePiece model of characters."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=model,
        model_type="char",
        vocab_size=VOCAB,
        hard_vocab_limit=False,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()
