"""How exact the times of words are, and how useful their confidences: python -m benchmarks.timestamps

It uses the demo's speech, for which the synthesiser knows when each word begins. Every speaker of the split is
synthesised again, in a process of its own, and the recordings must equal those of the corpus byte for byte. A word's
true end is the last sound before the next word begins. Only words that were recognised in the right place count.
"""

import json
import multiprocessing
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from benchmarks.results_file import earlier_results
from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError
from data_prep.splits import find_corpus
from data_prep.synthetic import KINDS, plan
from data_prep.synthetic.espeak import Espeak
from data_prep.synthetic.grammar import spoken
from data_prep.synthetic.recording import record, trim
from data_prep.synthetic.speaker import Speaker, generator_for
from recipes.errors import command_line
from recipes.inference.transcripts.transcript import Transcript, Word


class Spoken(NamedTuple):
    """A recording of the corpus. words: what was said, with the true times, in seconds; None where not known."""

    audio: str
    text: str
    words: list[Word | None]


def speak(speaker: Speaker, corpus: Path) -> list[Spoken]:
    """The speaker's recordings. In a fresh process. Raises DataError where they are not those of the corpus."""
    espeak = Espeak()
    espeak.set_voice(speaker.accent, speaker.variant, speaker.rate, speaker.pitch)
    recordings = []
    for (utterance, text), sentence in zip(speaker.transcripts.items(), speaker.sentences, strict=True):
        generator, again = (generator_for(speaker.seed, utterance) for _ in range(2))
        samples = espeak.speak(spoken(sentence), seed=int(generator.integers(1, 2**31))).astype(np.float64)
        file = corpus / speaker.chapter_folder / f"{utterance}.flac"
        recording = record(trim(samples), espeak.sample_rate, speaker.tract, speaker.noise, generator)
        if not np.array_equal(recording, soundfile.read(file, dtype="int16")[0]):
            raise DataError(f"{file} is not what espeak-ng speaks on this machine: make the corpus here")
        again.integers(1, 2**31)
        silence = int(again.uniform(0.1, 0.3, 2)[0] * espeak.sample_rate)
        audible = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
        places = [match.start() for match in re.finditer(r"\S+", spoken(sentence))]
        starts = [espeak.word_starts.get(place) for place in places]
        rate = espeak.sample_rate * speaker.tract  # of the voice in the recording, see `recording.record`
        words = [
            true_word(word, start, end, audible, silence, rate)
            for word, start, end in zip(text.split(), starts, [*starts[1:], len(samples)], strict=True)
        ]
        recordings.append(Spoken(str(file), text, words))
    return recordings


def true_word(
    word: str, start: int | None, end: int | None, audible: np.ndarray, silence: int, rate: float
) -> Word | None:
    """start, end: samples of the voice where this word and the next begin; silence: samples before the voice.

    None for words that are spoken as one with another.
    """
    if start is None or end is None:
        return None
    last = audible[(audible >= start) & (audible < end)][-1]
    first, last = (silence + sample - audible[0] for sample in (max(start, audible[0]), last + 1))
    return Word(word, float(first / rate), float(last / rate), 1.0)


def speak_all(corpus: Path, split: str) -> list[Spoken]:
    made = corpus / "parameters.json"
    if not made.is_file():
        raise DataError(f"{corpus} was not made by data_prep.synthesize: its speech has no known times")
    parameters = json.loads(made.read_text())
    kind = KINDS[parameters["kind"]].with_minutes(parameters["minutes"])
    speakers = [speaker for speaker in plan(kind, parameters["seed"]) if speaker.split == split]
    if not speakers:
        raise DataError(f"{corpus} has no speakers in {split}")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        spoken_by = pool.starmap(speak, [(speaker, corpus) for speaker in speakers], chunksize=1)
    return [recording for recordings in spoken_by for recording in recordings]


def compare(said: Sequence[Spoken], heard: Sequence[Transcript]) -> dict:
    """Errors in ms of the words that were recognised, and how far confidence tells right words from wrong."""
    from recipes.scoring import align_words

    pairs, right, wrong = [], [], []
    for recording, transcript in zip(said, heard, strict=True):
        alignment = align_words([recording.text], [transcript.text])
        for chunk in alignment.alignments[0]:
            found = transcript.words[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "equal":
                true = recording.words[chunk.ref_start_idx : chunk.ref_end_idx]
                pairs += [pair for pair in zip(true, found, strict=True) if pair[0] is not None]
                right += [word.confidence for word in found]
            else:
                wrong += [word.confidence for word in found]
    starts = np.array([1000 * (word.start - true.start) for true, word in pairs])
    ends = np.array([1000 * (word.end - true.end) for true, word in pairs])
    return {
        "recordings": len(said),
        "words": len(pairs),
        **{f"start_{name}": value for name, value in in_figures(starts).items()},
        **{f"end_{name}": value for name, value in in_figures(ends).items()},
        "wrong_words": len(wrong),
        "confidence_right": round(float(np.median(right)), 4),
        "confidence_wrong": round(float(np.median(wrong)), 4) if wrong else None,
        "confidence_auc": auc(right, wrong) if wrong else None,
    }


def in_figures(errors: np.ndarray) -> dict[str, float]:
    """Median and 90th percentile of the size of errors in ms, and the median with its sign."""
    sizes = np.abs(errors)
    return {
        "median_ms": round(float(np.median(sizes)), 1),
        "p90_ms": round(float(np.percentile(sizes, 90)), 1),
        "bias_ms": round(float(np.median(errors)), 1),
    }


def auc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """The share of pairs of a right word and a wrong one in which the right one's confidence is higher."""
    higher = np.array(right)[:, None] - np.array(wrong)[None]
    return round(float(((higher > 0) + 0.5 * (higher == 0)).mean()), 4)


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m benchmarks.timestamps", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run that was trained on the demo's corpus")
    parser.add_argument("data_folder", type=Path, help="the corpus, made on this machine")
    parser.add_argument("--split", nargs="+", default=["test-clean", "test-other"])
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args(argv)
    earlier_results(options.out, "benchmarks.timestamps", ["rows"])
    from recipes.files import write_json
    from recipes.inference import Transcriber

    corpus = find_corpus(options.data_folder)
    said = {split: speak_all(corpus, split) for split in options.split}
    rows = []
    for search, settings in (("recipe", {}), ("greedy", {"test_search": None})):
        model = Transcriber.load(options.run, device="cpu", settings=settings)
        for split, recordings in said.items():
            heard = model.transcribe([recording.audio for recording in recordings])
            rows.append({"split": split, "search": search, **compare(recordings, heard)})
            print(json.dumps(rows[-1]))
    if options.out:
        write_json(options.out, {"rows": rows})


if __name__ == "__main__":
    sys.exit(main())
