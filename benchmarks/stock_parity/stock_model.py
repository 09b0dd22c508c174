"""SpeechBrain's own parts, as its recipe conformer_small wires them, with the sizes of one of our recipes."""

from collections.abc import Mapping

import torch
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.freq_domain import SpectrogramDrop, Warping
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.linear import Linear
from speechbrain.processing.features import InputNormalization
from torch import Tensor, nn

from recipes.models import Recogniser, SpecAugment
from recipes.stock.names import State, renamed

MELS = 80
NORMALISED_UNTIL = 4  # the epoch before which SpeechBrain's recipes update mean and deviation of the features


def stock_modules(hparams: Mapping) -> nn.ModuleDict:
    """The modules of SpeechBrain's recipe by its names, with random weights of the recipe's seed.

    hparams: the keys of a Conformer recipe of ours.
    """
    torch.manual_seed(hparams["seed"])
    channels, d_model = hparams["model"].frontend.convs, hparams["d_model"]
    channels = tuple(conv.out_channels for conv in channels)
    blocks = len(channels)
    front_end = ConvolutionFrontEnd(
        (8, 10, MELS),  # of which it reads the number of dimensions and the last
        num_blocks=blocks,
        num_layers_per_block=1,
        out_channels=channels,
        kernel_sizes=(3,) * blocks,
        strides=(2,) * blocks,
        residuals=(False,) * blocks,
        dropout=hparams["dropout"],
    )
    transformer = TransformerASR(
        hparams["vocab_size"],
        -(-MELS // 2**blocks) * channels[-1],
        d_model=d_model,
        nhead=hparams["heads"],
        num_encoder_layers=hparams["layers"],
        num_decoder_layers=hparams["decoder_layers"],
        d_ffn=hparams["d_ffn"],
        dropout=hparams["dropout"],
        kernel_size=hparams["kernel_size"],
        activation=nn.GELU,
        encoder_module="conformer",
        attention_type="RelPosMHAXL",
        normalize_before=True,
        causal=False,
    )
    heads = {name: Linear(input_size=d_model, n_neurons=hparams["vocab_size"]) for name in ("seq_lin", "ctc_lin")}
    normalize = InputNormalization(norm_type="global", update_until_epoch=NORMALISED_UNTIL)
    return nn.ModuleDict({"CNN": front_end, "Transformer": transformer, **heads, "normalize": normalize})


def stock_features() -> Fbank:
    return Fbank(sample_rate=16000, n_fft=400, n_mels=MELS)


def stock_augmenter(masks: SpecAugment) -> Augmenter | None:
    """SpeechBrain's masks and warp with the numbers of ours, in its recipes' order; None where there are none.

    Its masks are never as wide as ``drop_length_high``: torch's randint ends before it. They write the mean of the
    padded batch, ours zero, which is the mean of the training set.
    """
    drops = [
        SpectrogramDrop(
            drop_length_low=width[0],
            drop_length_high=width[1],
            drop_count_low=count,
            drop_count_high=count,
            replace="mean",
            dim=dimension,
        )
        for count, width, dimension in (
            (masks.time_masks, masks.time_width, 1),
            (masks.freq_masks, masks.freq_width, 2),
        )
        if count
    ]
    augmentations = [*drops, *([Warping(warp_window=masks.warp)] if masks.warp else [])]
    if not augmentations:
        return None
    return Augmenter(
        min_augmentations=len(augmentations), max_augmentations=len(augmentations), augmentations=augmentations
    )


def weights_under_our_names(modules: nn.ModuleDict, model: Recogniser) -> State:
    """The weights of `stock_modules` by the names, and in the shapes, of our ``model`` with relative positions."""
    listed = nn.ModuleList([modules[name] for name in ("CNN", "Transformer", "seq_lin", "ctc_lin")])
    return renamed(listed.state_dict(), model, "Conformer", model.decoder.heads, "stock", "the recipe")


class StockAugment(nn.Module):
    """SpeechBrain's masks and warp in the place of our SpecAugment: they look at the padded batch, not at lengths."""

    def __init__(self, masks: SpecAugment):
        super().__init__()
        self.augmenter = stock_augmenter(masks)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, n_mels]`` → the same shape."""
        if self.augmenter is None or not self.training:
            return features
        return self.augmenter(features.clone(), lengths / features.shape[1])[0]
