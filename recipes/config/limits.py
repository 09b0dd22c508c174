"""Values that no training run can have, found before anything is computed."""

from recipes.config.recipe import Recipe
from recipes.errors import RecipeError

LEAST = {
    "number_of_epochs": 1,
    "batch_buckets": 1,
    "workers": 0,
    "average_checkpoints": 1,
    "keep_last_checkpoints": 1,
    "warmup_steps": 0,
    "valid_search_interval": 1,
}
ABOVE_ZERO = ("batch_seconds", "test_batch_seconds", "lr", "max_grad_norm")
SHARES = ("ctc_weight", "label_smoothing")


def check_limits(recipe: Recipe) -> None:
    """Raises RecipeError, one line with the key, the limit and the value."""
    for key, value in recipe.hparams.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if key in LEAST and not (isinstance(value, int) and value >= LEAST[key]):
            wanted = f"a whole number from {LEAST[key]} up"
        elif key in ABOVE_ZERO and not (number and value > 0):
            wanted = "a number above 0"
        elif key in SHARES and not (number and 0 <= value <= 1):
            wanted = "a number from 0 to 1"
        elif key == "speeds" and not is_speeds(value):
            wanted = "a list of whole percentages, such as [95, 100, 105]"
        else:
            continue
        raise RecipeError(f"{recipe.path}: {key} must be {wanted}, not {value}")


def is_speeds(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, int) and one > 0 for one in value)
