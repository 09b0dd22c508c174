"""Releases, folders of a trained run that others can load: `python -m recipes.inference.release` (see `__main__`).

writing         the folder of a run
hyperparams     its hyperparams.yaml, by which SpeechBrain's interfaces load it
model_card      its README.md
loading         a release as recogniser, tokenizer and recipe

What files it has and how they are checked is in `recipes.release_files`, which training needs too; what its
hyperparams.yaml names is `recipes.inference.in_speechbrain`.
"""

from recipes.inference.release.loading import Release, load_release

__all__ = ["Release", "load_release"]
