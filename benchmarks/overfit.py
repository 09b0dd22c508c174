"""Whether mixers learn a few real utterances by heart: python -m benchmarks.overfit LIBRISPEECH --mixers xnor mamba

The shortest utterances of the folder serve as training, development and test set. A WER of 0 shows that model, loss and
search work together on human speech; it does not rank mixers. A mixer is written as for `compare.py`,
`[NAME=]MIXER[,KEY=VALUE…]`. Runs go to `--folder`. The same command again trains only those that are not finished.
"""

import argparse
import os
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import soundfile

from benchmarks.results_file import earlier_results
from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line
from recipes.bakeoff.entries import parse_entry
from recipes.files import write_json
from recipes.scoring import EpochRecord, RunSummary

ROOT = Path(__file__).parents[1]
SPLIT, UTTERANCES = "test-clean", 4
OPTIONS = (
    f"--train_splits [{SPLIT}] --valid_splits [{SPLIT}] --test_splits [{SPLIT}] --batch_seconds 60 --workers 0"
    " --lr 0.003 --noprogressbar --ckpt_interval_minutes 60"
).split()


def shortest_utterances(folder: Path, count: int) -> list[tuple[Path, str]]:
    """Audio files and words of the shortest utterances in LibriSpeech's layout. DataError where there are fewer."""
    utterances = []
    for transcripts in sorted(Path(folder).rglob("*.trans.txt")):
        for line in transcripts.read_text(encoding="utf-8").splitlines():
            identifier, _, words = line.partition(" ")
            utterances.append((transcripts.parent / f"{identifier}.flac", words))
    if len(utterances) < count:
        raise DataError(f"{folder} holds {len(utterances)} utterances with transcripts, and {count} are needed")
    return sorted(utterances, key=lambda utterance: soundfile.info(utterance[0]).frames)[:count]


def check_own(corpus: Path, utterances: list[tuple[Path, str]]) -> None:
    """Raises DataError where a corpus that this benchmark did not make would be lost, or the utterances themselves."""
    is_source = any(corpus.resolve() in audio.resolve().parents for audio, _ in utterances)
    files = (path for path in corpus.rglob("*") if path.is_file())  # ours: audio and transcripts
    if is_source or len(list(islice(files, 2 * UTTERANCES + 1))) > 2 * UTTERANCES:
        raise DataError(f"{corpus} holds other speech, which would be lost: give another --folder")


def write_split(utterances: list[tuple[Path, str]], folder: Path) -> None:
    """The utterances as the only ones of a split of a corpus in this folder."""
    for audio, words in utterances:
        speaker, chapter, _ = audio.stem.split("-")
        place = folder / SPLIT / speaker / chapter
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(audio, place)
        transcripts = place / f"{speaker}-{chapter}.trans.txt"
        lines = transcripts.read_text(encoding="utf-8") if transcripts.exists() else ""
        transcripts.write_text(f"{lines}{audio.stem} {words}\n", encoding="utf-8")


def train(command: list[str]) -> subprocess.CompletedProcess:
    """A training as a program of its own, on one thread where nothing else is said."""
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def learn(entry: str, recipe: Path, corpus: Path, folder: Path, epochs: int) -> dict:
    """Train one mixer, test it on what it has learnt; name, settings and figures. Raises DataError where it fails."""
    name, mixer, settings = parse_entry(entry)
    run = folder / (name or entry)
    options = [f"--mixer={mixer}", *(f"--{key}={value}" for key, value in settings.items()), *OPTIONS]
    command = [sys.executable, str(ROOT / "train.py"), str(recipe), "--data_folder", str(corpus)]
    command += ["--output_folder", str(run), "--number_of_epochs", str(epochs), *options]
    ended = train(command)
    if ended.returncode:
        raise DataError(f"{entry}: training failed: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}")
    summary, (log, _) = RunSummary.read(run), EpochRecord.read_all(run)
    result = summary.splits[SPLIT]
    return {
        "mixer": entry,
        "parameters": summary.parameters,
        "wer": result.wer,
        "wer_greedy_ctc": result.wer_greedy_ctc,
        "epochs": len(log),
        "train_loss": round(log[-1].metrics["train_loss"], 3),
        "seconds": summary.seconds,
    }


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m benchmarks.overfit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("librispeech", type=Path, metavar="LIBRISPEECH", help="a folder in LibriSpeech's layout")
    parser.add_argument("--mixers", nargs="+", required=True)
    parser.add_argument(
        "--recipe", type=Path, default=ROOT / "hparams" / "quickstart.yaml", help="default: %(default)s"
    )
    parser.add_argument("--epochs", type=int, default=80, help="default: %(default)s")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/overfit"), help="of corpus and runs (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the figures")
    options = parser.parse_args(argv)
    earlier_results(options.out, "benchmarks.overfit", ("utterances", "epochs", "rows"))
    corpus = options.folder / "LibriSpeech"
    utterances = shortest_utterances(options.librispeech, UTTERANCES)
    check_own(corpus, utterances)
    shutil.rmtree(corpus, ignore_errors=True)
    write_split(utterances, corpus)
    rows, problems = [], []
    for entry in options.mixers:
        try:
            rows.append(learn(entry, options.recipe, corpus, options.folder, options.epochs))
        except DataError as error:
            problems.append(str(error))
            continue
        print(f"{entry}: WER {rows[-1]['wer']:.1f} %, {rows[-1]['seconds']} s", flush=True)
        if options.out:
            names = [audio.stem for audio, _ in utterances]
            write_json(options.out, {"utterances": names, "epochs": options.epochs, "rows": rows})
    if problems:
        raise DataError(problems[0])


if __name__ == "__main__":
    sys.exit(main())
