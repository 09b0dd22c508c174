"""SpeechBrain's own models under our names, and our mixers in models of others.

`python -m recipes.stock` converts a checkpoint; `replace_attention` puts mixers into a model.
names: one table of weights. settings: what hyperparams.yaml says. files: what a checkpoint's folder holds.
checks: whether it is the recipe's model. convert, language_model: the run folder. search: SpeechBrain's beam search.
attention, signatures, masks: a mixer where attention was.
Importing this package imports none of them, so that each can be used without the others.
"""

__all__ = ["replace_attention"]


def __getattr__(name: str) -> object:
    if name == "replace_attention":
        from recipes.stock.attention import replace_attention

        return replace_attention
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
