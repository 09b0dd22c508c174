"""Words for wrong keys and names, with the nearest right one."""

import difflib
from collections.abc import Sequence


def dotted(path: tuple[str, ...], name: str) -> str:
    """A key with the keys above it: `encoder.dropout`."""
    return ".".join((*path, name))


SYNONYMS = {  # what other toolkits call a key: ours
    "epochs": "number_of_epochs",
    "max_epochs": "number_of_epochs",
    "learning_rate": "lr",
    "batch_size": "batch_seconds",
    "num_workers": "workers",
    "accumulate_grad_batches": "grad_accumulation_factor",
    "max_steps": "optimizer_step_limit",
}
DEEPER_SHOWN = 4


def no_such_key(path: tuple[str, ...], name: str, names: Sequence[str], deeper: Sequence[str] = ()) -> str:
    """The message for the unknown key `name` below `path`, with the nearest of `names`, or all of a few.

    deeper: keys of this name that stand below others, dotted.
    """
    synonym = "" if path else SYNONYMS.get(name, "")
    near = [synonym] if synonym in names else difflib.get_close_matches(name, names, n=1)
    if deeper and synonym not in names:
        shown = ", ".join(f"'{key}'" for key in deeper[:DEEPER_SHOWN]) + (", …" if len(deeper) > DEEPER_SHOWN else "")
        return f"no such key '{name}'; did you mean {shown}?"
    if near:
        return f"no such key '{dotted(path, name)}'; did you mean '{dotted(path, near[0])}'?"
    listed = f"; it takes: {', '.join(names)}" if path and 0 < len(names) <= 20 else ""
    return f"no such key '{dotted(path, name)}'{listed}"


def nearest(name: str, names: Sequence[str]) -> str:
    """`; did you mean 'NAME'?`, or nothing where none of `names` is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
