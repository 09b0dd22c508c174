"""SpeechBrain's own models under our names, and our mixers in models of others.

`python -m recipes.stock` converts a checkpoint; `replace_attention` puts mixers into a model.
names: one table of weights. settings: what hyperparams.yaml says. files: what a checkpoint's folder holds.
checks: whether it is the recipe's model. convert, language_model: the run folder. search: SpeechBrain's beam search.
attention, signatures, masks: a mixer where attention was.
Importing this package imports none of them, so that each can be used without the others.
"""

from typing import TYPE_CHECKING

from recipes.faces import lazy_face

if TYPE_CHECKING:
    from recipes.stock.attention import replace_attention

__all__ = ["replace_attention"]

__getattr__ = lazy_face(__name__, attention=["replace_attention"])
