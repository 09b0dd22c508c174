"""Utterances and speakers of the training data that are also in what a model is validated or tested on."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from data_prep.manifest import read_rows, speaker_of

NAMES_SHOWN = 3


def overlaps(train: Iterable[Path], held_out: Mapping[str, Path]) -> list[str]:
    """A line for the screen per held-out split with utterances, and per split with speakers, of the training data.

    train: manifests; held_out: manifests by split. Utterances are compared by ID.
    """
    ids, speakers = {}, {}
    for split, manifest in held_out.items():
        rows = list(read_rows(manifest))
        ids[split] = {row[0] for row in rows}
        speakers[split] = {speaker_of(row[3]) for row in rows} - {None}
    held_out_ids, held_out_speakers = set().union(*ids.values()), set().union(*speakers.values())
    shared_ids, shared_speakers = set(), set()
    for manifest in train if held_out_ids else ():
        for identifier, _, _, spk_id, _ in read_rows(manifest):
            if identifier in held_out_ids:
                shared_ids.add(identifier)
            if speaker_of(spk_id) in held_out_speakers:
                shared_speakers.add(speaker_of(spk_id))
    lines = [_line(split, "utterances", names, shared_ids) for split, names in ids.items()]
    lines += [_line(split, "speakers", names, shared_speakers) for split, names in speakers.items()]
    return [line for line in lines if line]


def _line(split: str, what: str, names: set[str], shared: set[str]) -> str:
    shared = sorted(names & shared)
    if not shared:
        return ""
    listed = ", ".join(shared[:NAMES_SHOWN]) + (", …" if len(shared) > NAMES_SHOWN else "")
    return f"note: {len(shared)} of the {len(names)} {what} of {split} are in the training data too: {listed}"
