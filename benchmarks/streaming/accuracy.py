"""Error rates of a trained run under many contexts."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixers import Context
from recipes.asr.decode import decode
from recipes.asr.evaluate import Evaluation
from recipes.asr.saved_run import SavedRun
from recipes.config.arguments import parse_arguments
from recipes.training.processes import start

GREEDY = "greedy CTC"


def contexts(chunks: Sequence[int], left_chunks: Sequence[int | None]) -> list[Context | None]:
    """All pairs, and the whole utterance (None) first."""
    return [None, *(Context(chunk, left) for chunk in chunks for left in left_chunks)]


def measure(run: Path, asked: Sequence[Context | None], options: Sequence[str]) -> Iterator[dict]:
    """A row for each context and test split. options: keys of the recipe and run options, as evaluate.py takes them."""
    arguments = parse_arguments([str(run / "recipe.yaml"), "--noprogressbar", *options])
    saved = SavedRun(run, arguments.overrides, source=arguments.source)
    saved.hparams["model"].check_streaming()
    with (
        tempfile.TemporaryDirectory() as folder,
        Evaluation(saved, start(arguments.run_options), output=Path(folder)) as evaluation,
    ):
        brain, prepared, search = evaluation.brain, evaluation.prepared, saved.hparams["test_search"]
        for context in asked:
            brain.test_context = context
            for split, manifest in prepared.test.items():
                _, result = decode(brain, split, manifest, prepared.root)
                chunk, left_chunks = context or (None, None)
                yield {
                    "recipe": saved.hparams["recipe"],
                    "mixer": saved.hparams["mixer_name"],
                    "search": GREEDY if search is None else type(search).__name__,
                    "seed": saved.hparams["seed"],
                    "chunk": chunk,
                    "left_chunks": left_chunks,
                    "split": split,
                    "wer": result.wer,
                    "wer_greedy_ctc": result.wer_greedy_ctc,
                }
