"""The kinds of demo corpora: which sentences, splits and voices. A new kind is an entry in KINDS."""

from data_prep.synthetic.context import FAR, HOMOPHONES, ORDER, draw_far_cue, draw_first_cue
from data_prep.synthetic.espeak import ACCENTS, VARIANTS
from data_prep.synthetic.grammar import SMOKE, STORY
from data_prep.synthetic.plan import NOISY, Kind, Split

# Test-other speaks with variants and accents that nobody has in the other splits.
OTHER_VARIANTS = tuple("Andrea aunty f5 linda Alex Denis Hugo Michael m7 pablo quincy sandro travis victor".split())
OTHER_ACCENTS = ("en-gb-x-gbcwmd", "en-us-nyc")
COMMON_VARIANTS = tuple(variant for variant in VARIANTS if variant not in OTHER_VARIANTS)
COMMON_ACCENTS = tuple(accent for accent in ACCENTS if accent not in OTHER_ACCENTS)
SMOKE_VARIANTS, SMOKE_ACCENTS = ("m1", "m3", "f2", "f4", "Alex"), ("en-us", "en")

# Of the voices of the story, 24 that speak at an ordinary speed, with accents that keep the promise of HOMOPHONES.
CONTEXT_VARIANTS = tuple(
    """
    Annie belinda f1 f2 f3 f4 steph steph3
    Andy Gene Mario Mike adam announcer ed john max m1 m2 m3 m4 m6 m8 paul
    """.split()
)
CONTEXT_RATE = (150, 180)  # words a minute; the shortest gap is then still above 3 s


def _context_kind(grammar, draw, seconds_per_utterance, dev, test, train):
    """dev, test, train: minutes that make 6, 24 and 48 speakers."""
    minutes = {"dev-clean": dev, "test-clean": test, "train-clean-5": train}
    return Kind(
        grammar=grammar,
        draw=draw,
        splits=tuple(Split(name, amount, CONTEXT_VARIANTS, COMMON_ACCENTS) for name, amount in minutes.items()),
        utterances_per_speaker=14,
        seconds_per_utterance=seconds_per_utterance,
        rate=CONTEXT_RATE,
        homophones=HOMOPHONES,
    )


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
    "context": _context_kind(FAR, draw_far_cue, 6.27, dev=9, test=35, train=70),
    "order": _context_kind(ORDER, draw_first_cue, 12.65, dev=18, test=71, train=142),
}
