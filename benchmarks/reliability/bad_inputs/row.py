"""The form of a row of the table of bad inputs, and rows that are alike.

`$recipe`, `$lm_recipe`: files in hparams; `$none`: a path where nothing is; `$here`: the folder of the row's
files; `$run`: an output folder that must not appear; `$trained`, `$small` and more: see `things`. A row's options
come after those of START, and win.
"""

from typing import NamedTuple

START = {
    "train": "$recipe --data_folder $none --output_folder $run",
    "train_lm": "$lm_recipe --tokenizer $none --train_text $none --valid_text $none --output_folder $run",
    "compare": "--mixers attention --data_folder $none --out $run",
    "evaluate": "",
    "transcribe": "",
    "recipes.config": "",
    "recipes.describe": "",
    "recipes.inference.release": "",
    "recipes.inference.serve": "$none",
    "recipes.inference.export": "",
    "data_prep.own": "",
}


class BadInput(NamedTuple):
    """One mistake: `line` follows "error: " on stderr, and the exit status is 2. Whatever follows "…" may differ."""

    options: str  # split as a shell does
    line: str
    program: str = "train"
    files: dict[str, str] = {}  # noqa: RUF012 (never changed): text by name in $here
    late: bool = False  # it is in a recording: the program has said what it works with, or lists the problems it found

    @property
    def exports(self) -> bool:
        """Whether it needs the packages of ONNX."""
        return "--onnx" in self.options or self.program == "recipes.inference.export"


def values(key: str, wanted: str, *typed: str, program: str = "train", recipe: str = "$recipe") -> list[BadInput]:
    """The rows of a recipe key: values out of its limits, and the limits in words."""
    return [
        BadInput(f"'--{key}={value}'", f"{recipe}: {key} must be {wanted}, not {value}", program) for value in typed
    ]


def dynamic_chunks(key: str, wanted: str, *typed: str) -> list[BadInput]:
    """The rows of a key of `streaming`, which is null in the recipe."""
    return [
        BadInput(
            f"--streaming '!new:recipes.models.DynamicChunks {{{key}: {value}}}'",
            f"$recipe: streaming.{key} must be {wanted}, not {value}",
        )
        for value in typed
    ]


UP_FROM_1, UP_FROM_0, POSITIVE = "a whole number from 1 up", "a whole number from 0 up", "a number above 0"
PERCENTAGES = "a list of whole percentages from 50 to 200, such as [95, 100, 105]"
SPAN = "[least, most], two whole numbers from 1 up"
UP_FROM_ZERO = "a number from 0 up"
SHARE, OBJECT, FLAG = "a number from 0 to 1", "an object (!new: or !name:)", "true or false"

NOT_LISTED = (
    "is not on the list of what a recipe may name (mixers, recipes.models, recipes.decoding, torch.nn, torch.optim): "
    "it would run here; if you know it, and who wrote this recipe, give --trust"
)
HOSTILE = "lr: 1\nx: !apply:os.system [ls]\n"
