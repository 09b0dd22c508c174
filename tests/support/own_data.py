"""Own manifests of the small corpus, one recording for each speaker of a split: every utterance is a segment of it."""

import json
from pathlib import Path

import numpy as np
import soundfile

from data_prep.corpus import Corpus
from data_prep.manifest import read_manifest

USES = {"train": "train-clean-5", "valid": "dev-clean", "test": "test-clean"}


def write_own_manifests(corpus: Path, folder: Path) -> dict[str, Path]:
    """JSONL manifests by use, with the IDs, words and samples of the corpus, whose folder is not needed any more."""
    manifests = {}
    for use, split in USES.items():
        made = Corpus(corpus).prepare(folder / "librispeech", [], [], [split], progress=False)
        manifests[use] = folder / f"my_{use}.jsonl"
        write_manifest(list(read_manifest(made.test[split])), corpus, manifests[use])
    return manifests


def write_manifest(rows: list[dict[str, str]], corpus: Path, manifest: Path) -> None:
    by_speaker: dict[str, list[np.ndarray]] = {}
    lines = []
    for row in rows:
        speaker = row["spk_id"]
        parts = by_speaker.setdefault(speaker, [np.zeros(800)])
        samples, rate = soundfile.read(row["wav"].replace("$data_root", str(corpus)))
        start = sum(map(len, parts)) / rate
        parts.append(samples)
        line = {"id": row["ID"], "audio": f"long/{speaker}.flac", "text": row["wrd"], "speaker": speaker}
        lines.append({**line, "start": start, "end": start + len(samples) / rate})
    (manifest.parent / "long").mkdir(parents=True, exist_ok=True)
    for speaker, parts in by_speaker.items():
        soundfile.write(manifest.parent / "long" / f"{speaker}.flac", np.concatenate(parts), rate, subtype="PCM_16")
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
