"""Every recipe key: what it is for (its role) and which values it may have.

This table is the one place that knows the keys. What depends on a key's kind, such as what may change between
two commands for one run, or what a recipe's hash leaves out, asks it by role.
"""

from enum import StrEnum, auto
from typing import NamedTuple

from recipes.config.values import (
    ANY,
    BETAS,
    FLAG,
    MIXER,
    MIXERS,
    NOTES,
    OBJECT,
    SIZES,
    SPAN,
    SPEEDS,
    TABLE,
    TEXT,
    TEXTS,
    Values,
    choice,
    choices,
    number,
    or_null,
    whole,
)


class Role(StrEnum):
    WHERE = auto()  # where things lie and what they are called
    KEPT = auto()  # how a run is executed and kept: changes no result
    DATA = auto()  # which data
    MODEL = auto()
    TRAINING = auto()
    DECODING = auto()  # changes results, not weights
    FILLED = auto()  # written by the loader, follows from other keys
    ABOUT = auto()  # for readers


class Key(NamedTuple):
    role: Role
    values: Values
    free: bool = False  # may change between two commands for one run, though others of its role may not
    later: bool = False  # a key that came later: null means what a recipe without it means


SIZE, COUNT, SHARE, POSITIVE = whole(1), whole(1), number(least=0, most=1), number(above=0)
SEED = whole(0, 2**32 - 1)  # what numpy takes

KEYS = {
    "recipe": Key(Role.WHERE, or_null(TEXT)),
    "data_folder": Key(Role.WHERE, TEXT),
    # What own manifests, texts and a tokenizer hold is a run's own, wherever they lie.
    "train_manifest": Key(Role.WHERE, or_null(TEXTS)),
    "valid_manifest": Key(Role.WHERE, or_null(TEXTS)),
    "train_text": Key(Role.WHERE, or_null(TEXTS)),
    "valid_text": Key(Role.WHERE, or_null(TEXTS)),
    "tokenizer": Key(Role.WHERE, TEXT),
    "output_folder": Key(Role.WHERE, TEXT),
    "about": Key(Role.ABOUT, NOTES),
    # How a run is executed and kept.
    "workers": Key(Role.KEPT, whole(0)),
    "checkpoint_blocks": Key(Role.KEPT, FLAG),
    "ckpt_interval_minutes": Key(Role.KEPT, number(least=0)),
    "keep_last_checkpoints": Key(Role.KEPT, COUNT),
    "tensorboard": Key(Role.KEPT, FLAG),
    "test_batch_seconds": Key(Role.KEPT, POSITIVE),
    # Which data.
    "train_splits": Key(Role.DATA, TEXTS),
    "valid_splits": Key(Role.DATA, TEXTS),
    "test_splits": Key(Role.DATA, TEXTS, free=True),
    "test_manifest": Key(Role.DATA, or_null(TEXTS), free=True, later=True),
    "text_normalizer": Key(Role.DATA, or_null(choice("none", "upper", "basic")), later=True),
    "test_text": Key(Role.DATA, or_null(TEXTS), free=True),
    # The model.
    "mixer": Key(Role.MODEL, MIXER),
    "mixers": Key(Role.MODEL, TABLE),
    "mixer_name": Key(Role.FILLED, ANY),
    "layer_mixers": Key(Role.FILLED, ANY),
    "token_type": Key(Role.MODEL, choice("unigram", "bpe", "char")),
    "vocab_size": Key(Role.MODEL, SIZE),
    "d_model": Key(Role.MODEL, SIZE),
    "heads": Key(Role.MODEL, SIZE),
    "layers": Key(Role.MODEL, SIZE),
    "d_ffn": Key(Role.MODEL, SIZE),
    "kernel_size": Key(Role.MODEL, SIZE),
    "decoder_layers": Key(Role.MODEL, SIZE),
    "dropout": Key(Role.MODEL, SHARE),
    "activation": Key(Role.MODEL, OBJECT),
    "norm_first": Key(Role.MODEL, FLAG),
    "_seeded": Key(Role.MODEL, OBJECT),
    "model": Key(Role.MODEL, OBJECT),
    "language_model": Key(Role.MODEL, OBJECT),
    # Training.
    "init_from": Key(Role.TRAINING, or_null(TEXT), later=True),
    "freeze": Key(Role.TRAINING, or_null(TEXTS), later=True),
    "new_tokenizer": Key(Role.TRAINING, or_null(FLAG), later=True),
    "seed": Key(Role.TRAINING, SEED),
    "number_of_epochs": Key(Role.TRAINING, COUNT, free=True),
    "max_seconds": Key(Role.TRAINING, or_null(POSITIVE)),
    "joined_seconds": Key(Role.TRAINING, or_null(POSITIVE), later=True),
    "masks_from_epoch": Key(Role.TRAINING, COUNT),
    "speeds": Key(Role.TRAINING, SPEEDS),
    "normalize_utterances": Key(Role.TRAINING, COUNT),
    "shuffle_sentences": Key(Role.TRAINING, COUNT),
    "longest_sentence": Key(Role.TRAINING, COUNT),
    "batch_seconds": Key(Role.TRAINING, POSITIVE),
    "batch_sentences": Key(Role.TRAINING, COUNT),
    "batch_buckets": Key(Role.TRAINING, COUNT),
    "ascending_epochs": Key(Role.TRAINING, whole(0)),
    "grad_accumulation_factor": Key(Role.TRAINING, COUNT, free=True),  # with the number of processes; it is said
    "optimizer_step_limit": Key(Role.TRAINING, or_null(COUNT), free=True, later=True),
    "find_batch": Key(Role.KEPT, FLAG),
    "allow_new_data": Key(Role.KEPT, FLAG),
    "global_batch": Key(Role.TRAINING, or_null(COUNT), free=True),
    "max_grad_norm": Key(Role.TRAINING, POSITIVE),
    "precision": Key(Role.TRAINING, choice("fp32", "fp16", "bf16")),
    "lr": Key(Role.TRAINING, POSITIVE),
    "warmup_steps": Key(Role.TRAINING, whole(0)),
    "streaming": Key(Role.TRAINING, or_null(OBJECT), later=True),
    "ctc_weight": Key(Role.TRAINING, SHARE),
    "consistency_weight": Key(Role.TRAINING, or_null(POSITIVE), later=True),
    "label_smoothing": Key(Role.TRAINING, SHARE),
    "opt_class": Key(Role.TRAINING, OBJECT),
    "lr_schedule": Key(Role.TRAINING, OBJECT),
    "valid_search": Key(Role.TRAINING, or_null(OBJECT)),  # logged while training goes on
    "valid_search_interval": Key(Role.TRAINING, COUNT),
    # Decoding.
    "average_checkpoints": Key(Role.DECODING, COUNT),
    "lm_folder": Key(Role.DECODING, or_null(TEXT)),
    "test_search": Key(Role.DECODING, or_null(OBJECT)),
    "score_normalizer": Key(Role.DECODING, or_null(choice("basic", "english")), later=True),
    "test_chunk": Key(Role.DECODING, or_null(COUNT), later=True),
    "test_left_chunks": Key(Role.DECODING, or_null(whole(0)), later=True),
}

# Keys that may stay unset, and are null then, where one of these others is given.
INSTEAD = {"data_folder": ("train_manifest", "valid_manifest", "test_manifest")}

# Paths of the programs themselves, which may begin with ~; data folder, manifests and texts are for whoever reads them.
PATHS = {"output_folder", "tokenizer", "lm_folder", "init_from"}

# What a recipe that trains must have, by the key that holds its model: keys that programs read without asking whether
# they are there.
_OF_EVERY_RUN = (
    *("seed", "output_folder", "tensorboard", "vocab_size", "number_of_epochs", "average_checkpoints"),
    *("label_smoothing", "lr", "lr_schedule", "opt_class"),
)
# The same for whatever tests or uses a trained recogniser.
TO_TEST = ("data_folder", "mixer", "workers", "test_batch_seconds", "test_search", "valid_search", "lm_folder")
NEEDED = {
    "model": (
        *_OF_EVERY_RUN,
        *TO_TEST,
        *("train_splits", "valid_splits", "test_splits", "max_seconds", "speeds", "token_type"),
        *("normalize_utterances", "batch_seconds", "batch_buckets", "ascending_epochs"),
        *("masks_from_epoch", "ctc_weight", "keep_last_checkpoints", "valid_search_interval"),
    ),
    "language_model": (
        *_OF_EVERY_RUN,
        *("workers", "tokenizer", "train_text", "valid_text", "test_text"),
        *("batch_sentences", "longest_sentence", "shuffle_sentences"),
    ),
}
WHOLE = {"model": "conformer.yaml", "language_model": "lm_transformer.yaml"}  # recipes in hparams that have them all

DECAYS = ("head", "channel")  # of gated_delta

# Arguments of classes and functions on the list (see `recipes.config.trust`), wherever they stand in a recipe.
ARGUMENTS = {
    **dict.fromkeys(("d_model", "vocab_size", "layers", "heads", "d_ffn", "csgu_units", "kernel_size"), SIZE),
    **dict.fromkeys(("n_mels", "state_size", "expansion", "conv_size", "degree", "window", "tokens", "history"), SIZE),
    **dict.fromkeys(
        ("hypernet_size", "local_size", "summary_size", "step_rank", "window_length", "size"), or_null(SIZE)
    ),
    "joint_size": SIZE,
    "sample_rate": Values("16000, at which recordings are read", lambda value: value == 16000),
    "channels": SIZES,
    "hidden_sizes": or_null(SIZES),
    **dict.fromkeys(("probability", "left_probability"), SHARE),
    **dict.fromkeys(("dropout", "max_share", "time_share", "freq_share", "warp_share", "rotary"), SHARE),
    "decay": Values("a number from 0 to 1, head or channel", lambda value: SHARE.fits(value) or value in DECAYS),
    "time_masks_per_second": number(least=0),
    **dict.fromkeys(("norm_first", "tied", "norm", "separate", "causal"), FLAG),
    **dict.fromkeys(("time_masks", "max_time_masks", "freq_masks", "warp", "warmup_steps"), whole(0)),
    **dict.fromkeys(("time_width", "freq_width", "chunk", "left_chunks"), SPAN),
    "mixers": MIXERS,
    "directions": choices("past", "whole", "future"),
    **dict.fromkeys(("features", "normalize", "augment", "frontend", "encoder", "activation"), OBJECT),
    "decoder": or_null(OBJECT),
    "prediction": OBJECT,
}

# Of torch's optimizers, those that mean the same to all that take them.
OPTIMIZER_ARGUMENTS = {"betas": BETAS, "weight_decay": number(least=0)}

# SpeechBrain's run options that are no keys of ours.
RUN_OPTIONS = {
    "ckpt_interval_steps": whole(0),
    "compile_mode": choice("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "compile_module_keys": Values("model, the only module there is", lambda value: value == ["model"], null=True),
    "debug_batches": COUNT,
    "distributed_backend": choice("nccl", "gloo", "mpi"),
    "debug_epochs": COUNT,
    "nonfinite_patience": whole(0),
}


def keys_of(*roles: Role) -> frozenset[str]:
    """The keys of these roles."""
    return frozenset(name for name, key in KEYS.items() if key.role in roles)


def free_keys() -> frozenset[str]:
    """What may change between two commands for one run: how long, how it is kept and decoded, what is tested."""
    free = {name for name, key in KEYS.items() if key.free}
    return keys_of(Role.KEPT, Role.DECODING, Role.ABOUT) | free


def came_later(name: str) -> bool:
    """Whether null for this key means what a recipe without it means, so that neither hash nor content changes."""
    return name in KEYS and KEYS[name].later


def takes_null(key: str) -> bool:
    """Whether a key, or the dotted key of an argument, may be null."""
    _, dot, argument = key.rpartition(".")
    return (ARGUMENTS.get(argument, ANY) if dot else values_of(argument)).null


def values_of(name: str) -> Values:
    """What a key or run option may hold; anything where no table has it, as with keys of a user's own recipe."""
    return KEYS[name].values if name in KEYS else RUN_OPTIONS.get(name, ANY)
