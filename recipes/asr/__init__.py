"""Recognisers: data, training, decoding, and the evaluation of saved runs.

experiment              the stages of train.py: prepare, fit, test
brain, loss, contexts   what is computed for a batch
utterances, audio, resample, batches, joining, data     from manifests to batches
unusable, remarks         utterances that are left out, by name
memory                  whether the largest batch fits
decode, searches        decoding of test sets
saved_run, evaluate, identity, tuning       evaluate.py
transfer, starting_point        training that starts from other weights
"""

from typing import TYPE_CHECKING

from recipes.faces import lazy_face

if TYPE_CHECKING:
    from recipes.asr.brain import ASRBrain
    from recipes.asr.evaluate import Evaluation
    from recipes.asr.experiment import ASRExperiment
    from recipes.asr.saved_run import SavedRun, with_ngram
    from recipes.asr.tuning import check_search, check_tunable, development, tune

__all__ = [
    "ASRBrain",
    "ASRExperiment",
    "Evaluation",
    "SavedRun",
    "check_search",
    "check_tunable",
    "development",
    "tune",
    "with_ngram",
]

__getattr__ = lazy_face(
    __name__,
    brain=["ASRBrain"],
    evaluate=["Evaluation"],
    experiment=["ASRExperiment"],
    saved_run=["SavedRun", "with_ngram"],
    tuning=["check_search", "check_tunable", "development", "tune"],
)
