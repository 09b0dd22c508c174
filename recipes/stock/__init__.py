"""SpeechBrain's own models and search under our names: `python -m recipes.stock` converts a checkpoint.

names: one table of weights. settings: what hyperparams.yaml says. files: what a checkpoint's folder holds.
checks: whether it is the recipe's model. convert, language_model: the run folder. search: SpeechBrain's beam search.
This file imports none of them, so that each can be used without the others.
"""
