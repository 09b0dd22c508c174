"""Corpora in which a word's spelling hangs on a word far away, so that hearing the neighbourhood is not enough.

`context`: one cue word, three homophones, at least 3 s of filler between them. A cue of the first class asks
for the first spelling of each homophone, one of the second class for the second; the cue comes first or last.

`order`: a cue of either class in every sentence, both at least 3 s before the homophones; the one that comes
first decides. Which words occur says nothing, and neither does the neighbourhood of a cue: each stands in a
clause among clauses of the same form, which a comma makes espeak-ng read with the same melody, and one or two
of them come before the first cue, so that the silence at the start is out of hearing.

The synthesiser reads the first spelling of every homophone, whatever the transcript says. Both classes are
equally frequent in every split, in either form of the sentence; in a speaker they differ by two at most.
HOMOPHONES.TXT, beside the splits, lists the pairs for whoever scores them.
"""

from data_prep.synthetic.grammar import draw_sentences
from data_prep.synthetic.kinds import COMMON_ACCENTS, Kind, Split

# Pairs that no accent of espeak-ng tells apart. It does tell apart, in some, red and read, route and root, one
# and won, four and for, prince and prints, bean and been.
HOMOPHONES = (
    ("night", "knight"),
    ("sea", "see"),
    ("flower", "flour"),
    ("meat", "meet"),
    ("sun", "son"),
    ("week", "weak"),
    ("piece", "peace"),
    ("sail", "sale"),
)
HOMOPHONES_PER_SENTENCE = 3
CUES = (("sailor", "anchor", "captain"), ("teacher", "pencil", "lesson"))  # two syllables each: equal melody

WORDS = {
    "how": ["slowly", "happily", "suddenly", "soon"],
    "did": ["found", "carried", "painted", "wanted"],
    "number": ["two", "three", "five", "twenty"],
    "quality": ["golden", "silver", "dark", "broken", "round", "dusty", "green"],
    "object": ["lantern", "map", "blanket", "trumpet", "book", "feather", "candle", "clock"],
    "beside": ["near", "behind", "under"],
    "place": ["bridge", "village", "mountain", "lake", "castle", "forest", "farm", "kitchen"],
}

# 13 words of filler.
FAR = {
    **WORDS,
    "sentence": [
        "{how} {did} {number} {quality} {object}s {beside} the {quality} {place} {beside} the {quality} {place}"
    ],
}

ORDER = {
    **WORDS,
    "sentence": ["{lead}, the {quality} FIRST, {middle}, the {quality} SECOND, {tail}"],
    "lead": ["{clause}", "{clause}, {clause}"],
    "middle": ["{clause}, {clause}", "{clause}, {clause}, {clause}"],
    "tail": ["{clause}, {clause}, {clause}, {clause}"],
    "clause": ["the {quality} {object}", "the {quality} {place}"],
}


def draw_far_cue(grammar, count, generator, spent):
    """List of `count` sentences of the kind `context`; see `draw_sentences`. No filler comes twice."""
    fillers = draw_sentences(grammar, count, generator, spent, reads_well=_says_no_word_twice)
    sentences = []
    for filler, deal in zip(fillers, _deals(count, 4, generator), strict=True):
        asked, cue_is_first = deal % 2, deal < 2
        cue = f"the {generator.choice(CUES[asked])}"
        homophones = _homophones(asked, generator)
        parts = (cue, filler, homophones) if cue_is_first else (homophones, filler, cue)
        sentences.append(" ".join(parts))
    return sentences


def draw_first_cue(grammar, count, generator, spent):
    """List of `count` sentences of the kind `order`; see `draw_sentences`. No filler comes twice."""
    fillers = draw_sentences(grammar, count, generator, spent, reads_well=_says_no_clause_twice)
    sentences = []
    for filler, asked in zip(fillers, _deals(count, 2, generator), strict=True):
        filler = filler.replace("FIRST", generator.choice(CUES[asked]))
        filler = filler.replace("SECOND", generator.choice(CUES[1 - asked]))
        sentences.append(f"{filler}, {_homophones(asked, generator)}")
    return sentences


def _homophones(asked, generator):
    """Three different homophones, spelled as the class `asked` wants them, spoken as the first spelling."""
    picked = generator.choice(len(HOMOPHONES), HOMOPHONES_PER_SENTENCE, replace=False)
    first, second, third = ("/".join(HOMOPHONES[index][: asked + 1]) for index in picked)
    return f"{first} and {second} {third}"


def _deals(count, ways, generator):
    """`count` numbers below `ways`; each comes once before one comes again."""
    rounds = -(-count // ways)
    return [int(deal) for _ in range(rounds) for deal in generator.permutation(ways)][:count]


def _says_no_word_twice(sentence):
    content = [word for word in sentence.split() if word not in ("the", *WORDS["beside"])]
    return len(content) == len(set(content))


def _says_no_clause_twice(sentence):
    clauses = sentence.split(", ")
    return len(clauses) == len(set(clauses))


RATE = (150, 180)  # words a minute; the shortest gap is then still above 3 s
# Of the voices of the story, 24 that speak at an ordinary speed; accents that keep the promise of HOMOPHONES.
VARIANTS = (
    "Annie",
    "belinda",
    "f1",
    "f2",
    "f3",
    "f4",
    "steph",
    "steph3",
    "Andy",
    "Gene",
    "Mario",
    "Mike",
    "adam",
    "announcer",
    "ed",
    "john",
    "max",
    "m1",
    "m2",
    "m3",
    "m4",
    "m6",
    "m8",
    "paul",
)
UTTERANCES_PER_SPEAKER = 14


def _kind(grammar, draw, seconds_per_utterance, dev, test, train):
    """dev, test, train: minutes that make 6, 24 and 48 speakers."""
    minutes = {"dev-clean": dev, "test-clean": test, "train-clean-5": train}
    return Kind(
        grammar=grammar,
        draw=draw,
        splits=tuple(Split(name, amount, VARIANTS, COMMON_ACCENTS) for name, amount in minutes.items()),
        utterances_per_speaker=UTTERANCES_PER_SPEAKER,
        seconds_per_utterance=seconds_per_utterance,
        rate=RATE,
        homophones=HOMOPHONES,
    )


CONTEXT_KINDS = {
    "context": _kind(FAR, draw_far_cue, 6.27, dev=9, test=35, train=70),
    "order": _kind(ORDER, draw_first_cue, 12.65, dev=18, test=71, train=142),
}


def homophones_text(kind):
    """Contents of HOMOPHONES.TXT: a pair a line, the first spelling first; None for a kind without them."""
    return "".join(f"{first} {second}\n".upper() for first, second in kind.homophones) or None
