"""Choose the weights of a saved run's search on development splits: `evaluate.py --tune`."""

from collections.abc import Sequence

from data_prep.corpus import Corpus, Prepared
from recipes.asr.decode import decode
from recipes.asr.evaluate import Evaluation
from recipes.asr.saved_run import SavedRun
from recipes.errors import RecipeError
from recipes.files import write_json
from recipes.training.processes import on_main_process


def tune(evaluation: Evaluation, prepared: Prepared) -> None:
    """Choose the search's weights, one after the other, by WER on development splits; kept in `tuned.json`.

    The evaluation decodes with them from then on. prepared: what `development` returns. First come `check_search` and
    `check_tunable`.
    """
    brain = evaluation.brain
    search = brain.hparams.test_search
    choices = search.tunable(brain.language_model)
    chosen = {name: getattr(search, name) for name in choices}
    wers: dict[tuple[float, ...], float] = {}  # of what was decoded: what is best so far is among the next key's values
    for key, values in choices.items():
        for value in (chosen[key], *values):
            settings = {**chosen, key: value}
            if tuple(settings.values()) in wers:
                continue
            for name, setting in settings.items():
                setattr(search, name, setting)
            wers[tuple(settings.values())] = wer = word_error_rate(evaluation, prepared)
            evaluation.logger.info(f"{in_words(settings)}: WER {wer:.2f} %")
        # Of equals the first that was tried.
        chosen = dict(zip(choices, min(wers, key=wers.__getitem__), strict=True))
    for name, setting in chosen.items():
        setattr(search, name, setting)
    tried = [{**dict(zip(choices, values, strict=True)), "wer": round(wer, 3)} for values, wer in wers.items()]
    lowest = min(wers.values())
    tuned_on = list(prepared.valid)
    result = {"splits": tuned_on, "chosen": chosen, "wer": lowest, "tried": tried}
    on_main_process(lambda: write_json(evaluation.folder / "tuned.json", result))
    evaluation.run.change({f"test_search.{name}": value for name, value in chosen.items()})
    evaluation.logger.info(f"chosen on {', '.join(tuned_on)}: {in_words(chosen)}")


def check_search(run: SavedRun) -> None:
    """Raises RecipeError where there is no search to tune."""
    if run.hparams["test_search"] is None:
        raise RecipeError("greedy CTC has nothing to tune: leave out --tune, or give a --test_search")


def check_tunable(evaluation: Evaluation) -> None:
    """Raises RecipeError for a search that has nothing to tune, which may hang on the language model."""
    search = evaluation.run.hparams["test_search"]
    if not search.tunable(evaluation.language_model):
        raise RecipeError(f"{type(search).__name__} has nothing to tune: leave out --tune")


def in_words(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def development(evaluation: Evaluation, splits: Sequence[str] | None) -> Prepared:
    """The splits to tune on, by default the recipe's validation splits.

    Raises RecipeError for one that is tested, and where there is none.
    """
    hparams = evaluation.run.hparams
    named = {**hparams, "valid_manifest": None} if splits else hparams
    roles = Corpus.named_by(named).choose([], splits or hparams["valid_splits"], hparams["test_splits"])
    tested = [name for name in roles.valid if name in roles.test or name.startswith("test")]
    if tested:
        raise RecipeError(
            f"tuning on {tested[0]} would make its result worthless: give development splits to --tune_split"
        )
    if not roles.valid:
        raise RecipeError("--tune: the run has no validation split (valid_splits is []): give splits to --tune_split")
    return evaluation.prepare(valid=roles.valid, test=[], data=named)


def word_error_rate(evaluation: Evaluation, prepared: Prepared) -> float:
    """The word error rate of all splits together, in percent."""
    results = [
        decode(evaluation.brain, split, manifest, prepared.root)[1] for split, manifest in prepared.valid.items()
    ]
    return 100 * sum(result.errors for result in results) / sum(result.words for result in results)
