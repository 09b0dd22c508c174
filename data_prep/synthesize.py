"""A demo corpus of synthetic read speech in LibriSpeech's layout: `python -m data_prep.synthesize OUT`.

The corpus lies in OUT/LibriSpeech. parameters.json, written first, states what the folder is going to hold;
corpus.json, written last, what it holds. A call that was cut short is taken up again speaker by speaker.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import soundfile
from tqdm import tqdm

from data_prep.arguments import ArgumentParser
from data_prep.cores import usable_cores
from data_prep.errors import DataError, command_line
from data_prep.files import write_atomically
from data_prep.manifest import HOMOPHONES_FILE
from data_prep.synthetic import KINDS, find_espeak, homophones_text, plan
from data_prep.synthetic.espeak import FEMALE_VARIANTS

FORMAT = 1  # raise it when the same parameters would give other audio or other sentences


def synthesize(out_folder, kind="story", minutes=None, seed=0, workers=None, progress=True) -> Path:
    """Make the corpus, or what is missing of it, and return its folder, `out_folder`/LibriSpeech.

    kind: a name in KINDS; minutes: of training audio, about (default: the kind's own); workers: processes
    at a time (default: as many as cores), which do not change a byte. Raises DataError for impossible
    parameters, a folder that holds other files, or a missing synthesiser; OSError when the folder cannot be
    written.
    """
    if kind not in KINDS:
        raise DataError(f"no corpus kind {kind!r}: choose from {', '.join(KINDS)}")
    minutes = KINDS[kind].splits[-1].minutes if minutes is None else minutes
    workers = usable_cores() if workers is None else workers
    if not 0 < minutes < float("inf"):
        raise DataError(f"minutes is {minutes}: give the minutes of training audio, more than 0")
    if workers < 1:
        raise DataError(f"workers is {workers}: give 1 or more")
    parameters = {"format": FORMAT, "kind": kind, "minutes": float(minutes), "seed": seed}
    speakers = plan(KINDS[kind].with_minutes(minutes), seed)
    corpus = Path(out_folder).absolute() / "LibriSpeech"
    _claim(corpus, parameters)
    missing = [speaker for speaker in speakers if not _is_complete(corpus, speaker)]
    summary, homophones = corpus / "corpus.json", homophones_text(KINDS[kind])
    if missing:
        find_espeak()
        summary.unlink(missing_ok=True)
        _synthesize_speakers(missing, corpus, workers, progress)
    if homophones is not None:
        _write_if_different(corpus / HOMOPHONES_FILE, homophones.encode())
    if not summary.exists():
        _finish(corpus, speakers, parameters)
    return corpus


def _claim(corpus, parameters):
    """Write parameters.json into a new folder; in a used one, refuse unless it holds the same."""
    parameters_file, wanted = corpus / "parameters.json", json.dumps(parameters)
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        existing = parameters_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        other_files = sorted(path.name for path in corpus.iterdir() if not path.name.startswith("."))
        if other_files:
            message = f"{corpus} holds other files ({other_files[0]}): give another output folder"
            raise DataError(message) from None
        write_atomically(parameters_file, f"{wanted}\n".encode())
    else:
        if existing != wanted:
            message = f"{corpus} holds another corpus, {existing}, not {wanted}"
            raise DataError(f"{message}: give another output folder or remove it")


def _is_complete(corpus, speaker):
    """Whether the speaker's folder has its transcripts and a FLAC file for each."""
    try:
        text = (corpus / speaker.transcript_file).read_text(encoding="utf-8")
        audio = {path.stem for path in (corpus / speaker.chapter_folder).glob("*.flac")}
    except FileNotFoundError:
        return False
    return text == speaker.transcript_text and audio == set(speaker.transcripts)


def _write_if_different(path, content):
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)


def _synthesize_speakers(speakers, corpus, workers, progress):
    """Run the worker program on the speakers; raises DataError with its first error."""
    if not hasattr(os, "fork"):
        raise DataError("the demo corpus can only be made on Linux or macOS")
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep.synthetic.worker", str(corpus), str(workers)],
        cwd=Path(__file__).resolve().parents[1],  # where the package is found, whatever the caller's folder
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    first_error = None
    try:
        json.dump([asdict(speaker) for speaker in speakers], process.stdin)
        process.stdin.close()
        with tqdm(total=len(speakers), desc="synthesise", unit="speaker", disable=not progress) as bar:
            for line in process.stdout:
                message = json.loads(line)
                first_error = first_error or message.get("error")
                bar.update("done" in message)
    except BaseException:
        process.terminate()
        raise
    finally:
        status = process.wait()
        process.stdout.close()
    if status:
        raise DataError(first_error or f"the synthesiser of {corpus} stopped (status {status}): run the command again")


def _finish(corpus, speakers, parameters):
    """Write SPEAKERS.TXT and corpus.json from the headers of the audio files."""
    splits = {}
    lines = [
        "; Synthetic voices of espeak-ng, in the format of LibriSpeech's SPEAKERS.TXT; nobody has read this.",
        ";ID  |SEX| SUBSET           |MINUTES| NAME",
    ]
    for speaker in speakers:
        headers = [soundfile.info(path) for path in sorted((corpus / speaker.chapter_folder).glob("*.flac"))]
        minutes = sum(header.frames / header.samplerate for header in headers) / 60
        sex = "F" if speaker.variant in FEMALE_VARIANTS else "M"
        name = f"{speaker.accent}+{speaker.variant}"
        lines.append(f"{speaker.speaker_id:<5}| {sex} | {speaker.split:<17}| {minutes:<5.2f} | {name}")
        counts = splits.setdefault(speaker.split, {"speakers": 0, "utterances": 0, "words": 0, "minutes": 0.0})
        counts["speakers"] += 1
        counts["utterances"] += len(headers)
        counts["words"] += sum(len(words.split()) for words in speaker.transcripts.values())
        counts["minutes"] += minutes
    for counts in splits.values():
        counts["minutes"] = round(counts["minutes"], 2)
    write_atomically(corpus / "SPEAKERS.TXT", ("\n".join(lines) + "\n").encode())
    summary = {"parameters": parameters, "splits": splits}
    write_atomically(corpus / "corpus.json", (json.dumps(summary, indent=1) + "\n").encode())


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m data_prep.synthesize",
        description="A demo corpus of synthetic read speech in LibriSpeech's layout.",
    )
    parser.add_argument("out_folder", help="the corpus goes to its LibriSpeech folder")
    parser.add_argument("--kind", default="story", help=f"{', '.join(KINDS)} (default: story)")
    parser.add_argument("--minutes", type=float, help="of training audio, about (default: the kind's own)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes at a time (default: number of cores)")
    arguments = parser.parse_args(argv)
    corpus = synthesize(**vars(arguments))
    print(f"corpus in {corpus}")
    for name, counts in json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))["splits"].items():
        print(f"{name:<16}" + "".join(f"{value:>9} {unit}" for unit, value in counts.items()))


if __name__ == "__main__":
    raise SystemExit(main())
