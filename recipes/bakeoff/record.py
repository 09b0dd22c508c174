"""The record by which a comparison's folder knows what it compares: FOLDER/comparison.json."""

import json
from pathlib import Path

from recipes.errors import RecipeError

RECORD = "comparison.json"
BUDGET = ("seconds", "match_parameters", "optimizer_step_limit", "run_options")


def read_record(folder: Path) -> dict | None:
    """What the folder compares, without entries whose runs were removed; None for a new folder.

    Raises RecipeError for a folder that holds something else, and for a record that cannot be read.
    """
    path = folder / RECORD
    if not path.is_file():
        if folder.is_dir() and {one.name for one in folder.iterdir()} - {"manifests", ".lock"}:
            raise RecipeError(f"{folder} holds other files than a comparison: give another --out")
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["mixers"] = {name: one for name, one in record["mixers"].items() if (folder / "runs" / name).is_dir()}
        return record
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RecipeError(f"{path} is unreadable: give another --out, or remove {folder}") from None


def check_same(folder: Path, before: dict, now: dict) -> None:
    """Raises RecipeError, naming the difference, where runs of both could not stand in one table."""
    if not before["mixers"]:
        return
    advice = "give another --out, or remove that folder"
    splits = [
        name
        for use in now["data"]
        for name in {**before["data"][use], **now["data"][use]}
        if before["data"][use].get(name) != now["data"][use].get(name)
    ]
    if splits:
        splits = ", ".join(dict.fromkeys(splits))
        raise RecipeError(f"{folder} holds a comparison on other data (it differs in {splits}): {advice}")
    both = (before, now)
    if differing := differences(*({**one["content"], **{key: one.get(key) or None for key in BUDGET}} for one in both)):
        raise RecipeError(f"{folder} holds a comparison of another recipe (it differs in {differing}): {advice}")
    for name in before["mixers"].keys() & now["mixers"].keys():
        if differing := differences(*(settings(one, name) for one in both)):
            raise RecipeError(
                f"{folder} holds runs of '{name}' with other settings (they differ in {differing}): name "
                f"the new ones otherwise, as in {name}_2=…, or remove {folder / 'runs' / name}"
            )


def settings(record: dict, name: str) -> dict:
    """All that one entry's runs are made by. Steps that were timed are no setting."""
    entry = record["mixers"][name]
    limit = {} if record["seconds"] else {"optimizer_step_limit": entry["steps"]}
    return {**record["content"], **entry["content"], **limit}


def differences(before: dict, now: dict) -> str:
    """The keys in which two groups of settings differ, with both values where they are short; else empty."""
    named = []
    for key in sorted(before.keys() | now.keys()):
        values = [one.get(key) for one in (before, now)]
        if values[0] != values[1]:
            shown = [json.dumps(value) if isinstance(value, (list, dict)) else str(value) for value in values]
            short = all(len(one) <= 20 for one in shown)
            named.append(f"{key}: {shown[0]} there, {shown[1]} here" if short else key)
    return ", ".join(named)


def joined(before: dict, now: dict) -> dict:
    """The record with what the folder had before: other entries, other seeds, and steps that were timed."""
    mixers = dict(before["mixers"])
    for name, one in now["mixers"].items():
        old = mixers.get(name, {"seeds": [], "steps": None})
        seeds = sorted({*old["seeds"], *one["seeds"]})
        mixers[name] = {**one, "seeds": seeds, "steps": one["steps"] or old["steps"]}
    return {**before, **now, "mixers": mixers}
