"""The kinds of demo corpora: which sentences, splits and voices. A new kind is one entry in KINDS.

Those that need what is far away stand in data_prep/context.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from data_prep.synthetic.espeak import ACCENTS, VARIANTS
from data_prep.synthetic.grammar import SMOKE, STORY, draw_sentences
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
    draw: Callable = draw_sentences  # (grammar, count, generator, spent) -> list of new sentences
    homophones: tuple = ()  # pairs of words, both read as the first

    def with_minutes(self, minutes):
        """The same kind with about `minutes` of training audio."""
        *others, train = self.splits
        return replace(self, splits=(*others, replace(train, minutes=minutes)))


# Test-other speaks with variants and accents that nobody has in the other splits.
OTHER_VARIANTS = tuple("Andrea aunty f5 linda Alex Denis Hugo Michael m7 pablo quincy sandro travis victor".split())
OTHER_ACCENTS = ("en-gb-x-gbcwmd", "en-us-nyc")
COMMON_VARIANTS = tuple(variant for variant in VARIANTS if variant not in OTHER_VARIANTS)
COMMON_ACCENTS = tuple(accent for accent in ACCENTS if accent not in OTHER_ACCENTS)
SMOKE_VARIANTS, SMOKE_ACCENTS = ("m1", "m3", "f2", "f4", "Alex"), ("en-us", "en")

KINDS = {
    "story": Kind(
        grammar=STORY,
        splits=(
            Split("dev-clean", 5, COMMON_VARIANTS, COMMON_ACCENTS),
            Split("test-clean", 7, COMMON_VARIANTS, COMMON_ACCENTS),
            Split("test-other", 7, OTHER_VARIANTS, OTHER_ACCENTS, NOISY),
            Split("train-clean-5", 150, COMMON_VARIANTS, COMMON_ACCENTS),
        ),
        utterances_per_speaker=9,
        seconds_per_utterance=3.55,
    ),
    "smoke": Kind(
        grammar=SMOKE,
        splits=(
            Split("dev-clean", 1, SMOKE_VARIANTS, SMOKE_ACCENTS),
            Split("test-clean", 1, SMOKE_VARIANTS, SMOKE_ACCENTS),
            Split("test-other", 1, ("m7", "f3"), ("en-gb-scotland",), NOISY),
            Split("train-clean-5", 6, SMOKE_VARIANTS, SMOKE_ACCENTS),
        ),
        utterances_per_speaker=12,
        seconds_per_utterance=3.1,
    ),
}


def _deal(variants, accents, seed):
    """Every (variant, accent) once, in random order, but every variant once before one comes again."""
    generator = generator_for(seed, "voices", variants, accents)
    accent_orders = {variant: generator.permutation(len(accents)) for variant in variants}
    return [
        (variants[index], accents[accent_orders[variants[index]][round_number]])
        for round_number in range(len(accents))
        for index in generator.permutation(len(variants))
    ]


def plan(kind, seed):
    """Everything a corpus of this kind will hold: list of Speaker.

    No sentence comes twice, and no pair of variant and accent in two splits. Raises DataError when the
    grammar has too few sentences.
    """
    speakers, spent, pools = [], set(), {}
    for split_number, split in enumerate(kind.splits, start=1):
        generator = generator_for(seed, split.name)
        count = max(1, round(60 * split.minutes / kind.utterances_per_speaker / kind.seconds_per_utterance))
        sentences = kind.draw(kind.grammar, count * kind.utterances_per_speaker, generator, spent)
        pool = pools.setdefault((split.variants, split.accents), _deal(split.variants, split.accents, seed))
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
