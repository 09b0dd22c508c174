"""Sentences in which a word's spelling depends on a word far away, so that the acoustic neighbourhood is not enough.

`context`: one cue word and three homophones, with at least 3 s of filler between them. A cue of the first class
asks for the first spelling of each homophone, one of the second class for the second; the cue comes first or last.

`order`: a cue of either class in every sentence, both at least 3 s before the homophones; the one that comes
first decides. Neither the set of words nor the neighbourhood of a cue gives the answer away: each cue stands in a
clause among clauses of the same form, which a comma makes espeak-ng read with the same melody, and one or two
of them come before the first cue, so that the silence at the start is out of reach.

The synthesiser reads the first spelling of every homophone, whatever the transcript has. Both classes are
equally frequent in every split, in either form of the sentence; in a speaker they differ by two at most.
HOMOPHONES.TXT, beside the splits, lists the pairs for scoring.
"""

from data_prep.synthetic.grammar import draw_sentences

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


def draw_far_cue(grammar, count, generator, used):
    """List of `count` sentences of the kind `context`; see `draw_sentences`. No filler comes twice."""
    fillers = draw_sentences(grammar, count, generator, used, accept=_repeats_no_word)
    sentences = []
    for filler, number in zip(fillers, _balanced_numbers(count, 4, generator), strict=True):
        cue_class, cue_is_first = number % 2, number < 2
        cue = f"the {generator.choice(CUES[cue_class])}"
        homophones = _draw_homophones(cue_class, generator)
        parts = (cue, filler, homophones) if cue_is_first else (homophones, filler, cue)
        sentences.append(" ".join(parts))
    return sentences


def draw_first_cue(grammar, count, generator, used):
    """List of `count` sentences of the kind `order`; see `draw_sentences`. No filler comes twice."""
    fillers = draw_sentences(grammar, count, generator, used, accept=_repeats_no_clause)
    sentences = []
    for filler, cue_class in zip(fillers, _balanced_numbers(count, 2, generator), strict=True):
        filler = filler.replace("FIRST", generator.choice(CUES[cue_class]))
        filler = filler.replace("SECOND", generator.choice(CUES[1 - cue_class]))
        sentences.append(f"{filler}, {_draw_homophones(cue_class, generator)}")
    return sentences


def homophones_text(kind):
    """Contents of HOMOPHONES.TXT: a pair a line, the first spelling first; None for a kind without them."""
    return "".join(f"{first} {second}\n".upper() for first, second in kind.homophones) or None


def _draw_homophones(cue_class, generator):
    """Three different homophones, spelled as `cue_class` asks, spoken as the first spelling."""
    indices = generator.choice(len(HOMOPHONES), HOMOPHONES_PER_SENTENCE, replace=False)
    first, second, third = ("/".join(HOMOPHONES[index][: cue_class + 1]) for index in indices)
    return f"{first} and {second} {third}"


def _balanced_numbers(count, ways, generator):
    """`count` numbers below `ways`; every number comes once before any comes again."""
    rounds = -(-count // ways)
    return [int(number) for _ in range(rounds) for number in generator.permutation(ways)][:count]


def _repeats_no_word(sentence):
    content = [word for word in sentence.split() if word not in ("the", *WORDS["beside"])]
    return len(content) == len(set(content))


def _repeats_no_clause(sentence):
    clauses = sentence.split(", ")
    return len(clauses) == len(set(clauses))
