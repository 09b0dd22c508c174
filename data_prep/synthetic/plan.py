"""What a corpus is going to hold, down to the sentence: kinds, splits, and the speakers planned from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from data_prep.synthetic.grammar import draw_sentences
from data_prep.synthetic.speaker import Speaker, generator_for

RATE = (120, 165)  # words a minute
PITCH = (30, 70)  # espeak-ng's scale, 0 to 100
TRACT = (0.92, 1.10)
CLEAN, NOISY = (20, 35), (12, 20)  # signal-to-noise ratio in dB


@dataclass(frozen=True)
class Split:
    """A part of a corpus. Splits with the same variants and accents share a pool of voices, never a voice."""

    name: str
    minutes: float  # of audio, about
    variants: tuple
    accents: tuple
    noise: tuple = CLEAN


@dataclass(frozen=True)
class Kind:
    """A corpus: its grammar and its splits, training last: the others do not change when it grows."""

    grammar: dict
    splits: tuple
    utterances_per_speaker: int
    seconds_per_utterance: float  # measured mean; turns minutes into a number of speakers
    rate: tuple = RATE
    draw: Callable = draw_sentences  # (grammar, count, generator, used) -> list of new sentences
    homophones: tuple = ()  # pairs of words, both read as the first

    def with_minutes(self, minutes):
        """The same kind with about `minutes` of training audio."""
        *others, train = self.splits
        return replace(self, splits=(*others, replace(train, minutes=minutes)))


def plan(kind, seed):
    """Everything a corpus of this kind will hold: list of Speaker.

    No sentence comes twice, and no pair of variant and accent in two splits. Raises DataError when the
    grammar has too few sentences.
    """
    speakers, used, pools = [], set(), {}
    for split_number, split in enumerate(kind.splits, start=1):
        generator = generator_for(seed, split.name)
        count = max(1, round(60 * split.minutes / kind.utterances_per_speaker / kind.seconds_per_utterance))
        sentences = kind.draw(kind.grammar, count * kind.utterances_per_speaker, generator, used)
        pool = pools.setdefault((split.variants, split.accents), _voices(split.variants, split.accents, seed))
        voices = pool[:count]
        del pool[:count]
        for number in range(count):
            variant, accent = voices[number % len(voices)]
            first = number * kind.utterances_per_speaker
            speakers.append(
                Speaker(
                    speaker_id=1000 * split_number + number + 1,
                    split=split.name,
                    accent=accent,
                    variant=variant,
                    rate=int(generator.integers(*kind.rate, endpoint=True)),
                    pitch=int(generator.integers(*PITCH, endpoint=True)),
                    tract=round(float(generator.uniform(*TRACT)), 3),
                    noise=split.noise,
                    seed=seed,
                    sentences=tuple(sentences[first : first + kind.utterances_per_speaker]),
                )
            )
    return speakers


def _voices(variants, accents, seed):
    """Every (variant, accent) once, in random order, but every variant once before any comes again."""
    generator = generator_for(seed, "voices", variants, accents)
    accent_orders = {variant: generator.permutation(len(accents)) for variant in variants}
    return [
        (variants[index], accents[accent_orders[variants[index]][round_number]])
        for round_number in range(len(accents))
        for index in generator.permutation(len(variants))
    ]
