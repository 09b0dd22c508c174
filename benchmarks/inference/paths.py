"""Whether recordings get the same text whichever way they go: alone, in batches, through the exported model."""

from pathlib import Path

from recipes.inference.audio.recordings import Recording, find_recordings
from recipes.inference.recognition.engine import Engine
from recipes.inference.transcriber import Transcriber
from recipes.inference.transcripts.transcript import Transcript


def compare_paths(transcriber: Transcriber, onnx: Engine, folder: Path) -> dict:
    """In how many recordings text, or times of words, differ from transcribing each alone; all by greedy CTC."""
    recordings = find_recordings([str(folder)])
    alone = [transcripts(transcriber, [recording])[0] for recording in recordings]
    others = {"batched": transcripts(transcriber, recordings), "onnx": transcripts(onnx, recordings)}
    return {
        "recordings": len(recordings),
        "audio_seconds": round(sum(recording.seconds() for recording in recordings), 1),
        "words": sum(len(transcript.words) for transcript in alone),
        **{name: differences(alone, transcribed) for name, transcribed in others.items()},
    }


def transcripts(engine: Engine, recordings: list[Recording]) -> list[Transcript]:
    """Raises the error of a recording that cannot be used."""
    results = []
    for outcome in engine.transcribe_each(recordings):
        if outcome.error is not None:
            raise outcome.error
        results.append(outcome.transcript)
    return results


def differences(first: list[Transcript], second: list[Transcript]) -> dict[str, int]:
    """The number of recordings in which something differs."""
    pairs = list(zip(first, second, strict=True))
    return {
        "texts_that_differ": sum(left.text != right.text for left, right in pairs),
        "times_that_differ": sum(times(left) != times(right) for left, right in pairs),
    }


def times(transcript: Transcript) -> list[tuple[float, float]]:
    return [(word.start, word.end) for word in transcript.words]
