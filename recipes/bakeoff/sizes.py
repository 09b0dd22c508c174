"""Entries of equal size: `--match_parameters`."""

from collections.abc import Sequence

from recipes.bakeoff.entries import Entry
from recipes.bakeoff.recipe import build, content_of
from recipes.bakeoff.record import SIZE_TOLERANCE
from recipes.errors import RecipeError

WIDTHS = ("d_ffn", "csgu_units")  # of an encoder: what makes it larger without touching its mixers


def match_sizes(arguments: Sequence[str], entries: list[Entry], baseline: str) -> list[Entry]:
    """Each entry with the feed-forward width at which it has the baseline's number of parameters.

    Only the encoder's layers change, in steps of two, so that decoder and mixers stay what they are. A model
    grows by the same number with each such step: two counts tell the width, a third count makes sure.
    Raises RecipeError where no width comes within SIZE_TOLERANCE.
    """

    def count(entry: Entry, **overrides) -> int:
        return build((*arguments, *entry.arguments), **overrides).parameters

    by_name = {entry.name: entry for entry in entries}
    wanted = count(by_name.pop(baseline))
    for entry in by_name.values():
        encoder = content_of([*arguments, *entry.arguments])["model"][1]["encoder"][1]
        key = next((f"model.encoder.{width}" for width in WIDTHS if width in encoder), None)
        if key is None:
            raise RecipeError(f"--match_parameters: the encoder has none of the widths {', '.join(WIDTHS)}")
        two, four = (count(entry, **{key: width}) for width in (2, 4))
        width = max(2, 2 + 2 * round((wanted - two) / (four - two)))
        parameters = count(entry, **{key: width})
        if abs(parameters - wanted) > SIZE_TOLERANCE * wanted:
            raise RecipeError(
                f"--match_parameters: '{entry.name}' has {parameters:,} parameters at {key} {width}, "
                f"{baseline} has {wanted:,}: no width comes within {100 * SIZE_TOLERANCE:g} %; choose "
                "another --baseline"
            )
        by_name[entry.name] = entry._replace(settings={**entry.settings, key: str(width)})
    return [by_name.get(entry.name, entry) for entry in entries]
