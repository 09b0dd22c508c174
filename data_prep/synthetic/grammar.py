"""The sentences of the demo corpora: small story grammars, and distinct sentences drawn from them.

A grammar is a dictionary from a name to its forms; ``{name}`` inside a form stands for any of that name's
forms. `spoken` is what is read aloud, with commas, and `transcript` what is written: the two differ in
``night/knight``, which is read as the first word and written as the second.
"""

import re

from data_prep.errors import DataError

# About 140 words, chosen to sound unlike each other, in sentences of four to twelve.
STORY = {
    "sentence": [
        "{someone} {did} {treasure}",
        "{someone} {did} {treasure} {where}",
        "{time}, {someone} {did} {treasure}",
        "{time}, {someone} {did} {treasure} {where}",
        "{someone} {did} {treasure} and {stayed} {where}",
        "{someone} {never} {did} {treasure}",
        "{someone} {stayed} {how} {where}",
        "{time}, {someone} {stayed} {where}",
        "{someone} {stayed} {how}, because {the_place} was {state}",
        "{someone} {moved} {how} {along}",
        "{time}, {someone} {moved} {along}",
        "{someone} {moved} {along} with {treasure}",
        "while {someone} {stayed} {where}, {someone} {did} {treasure}",
        "while {someone} {moved} {along}, {someone} {stayed} {how}",
        "{the_place} was {state} and full of {several}",
        "{time}, {the_place} was {state}",
        "{someone} shared {food} and {food} with {someone}",
        "{someone} gave {someone} {treasure}",
        "nobody {did} {treasure} {where}",
        "everybody {moved} {along}, but {someone} {stayed} {where}",
        "we must follow {someone} {along}, said {someone}",
        "we must return {time}, said {someone}",
        "where is the {quality} {object}, asked {someone}",
        "who {did} {treasure}, asked {someone}",
    ],
    "someone": ["the {person}", "the {person}", "the {trait} {person}", "{name}"],
    "person": """king queen farmer sailor doctor dragon gardener princess rabbit elephant shepherd
        grandmother captain fox""".split(),
    "name": "oliver margaret thomas beatrice".split(),
    "trait": "old little brave curious hungry cheerful".split(),
    "treasure": [
        "the {object}",
        "the {quality} {object}",
        "the {quality} {object}",
        "a {object}",
        "a {quality} {object}",
        "a basket of {food}",
        "{number} {several}",
    ],
    "quality": "golden silver purple beautiful dusty broken secret".split(),
    "object": "lantern letter map trumpet blanket compass violin mirror clock feather necklace".split(),
    "number": "three five seven twenty".split(),
    "several": "candles apples sheep pumpkins books horses".split(),
    "food": "honey bread soup cheese apples pumpkins".split(),
    "did": """found carried painted discovered borrowed remembered wanted brought protected lost counted
        noticed""".split(),
    "never": "suddenly never always finally".split(),
    "stayed": "slept waited whispered laughed stopped".split(),
    "moved": "walked danced jumped wandered".split(),
    "how": ["slowly", "happily", "alone", "again", "for hours"],
    "where": ["{beside} {the_place}", "{beside} {the_place}", "under the {shelter}", "outside"],
    "beside": "behind beside near".split(),
    "shelter": "bridge mountain castle library".split(),
    "along": ["{across} {the_place}", "{across} {the_place}", "{across} {the_place}", "far from home"],
    "across": "across through around".split(),
    "the_place": ["the {place}"],
    "place": "bridge village mountain river castle forest kitchen orchard library harbor meadow".split(),
    "state": "quiet dark warm empty".split(),
    "time": [
        "in the morning",
        "in the evening",
        "at midnight",
        "yesterday",
        "after breakfast",
        "before dinner",
        "every winter",
    ],
}

# 25 words: enough for a test of the whole chain to learn something in seconds.
SMOKE = {
    "sentence": [
        "{someone} {did} {treasure} {where}",
        "{someone} {did} {treasure}",
        "yesterday {someone} {did} {treasure}",
    ],
    "someone": ["the {person}", "the little {person}"],
    "person": "king sailor doctor princess dragon".split(),
    "did": "found carried painted remembered".split(),
    "treasure": ["a {object}", "the {quality} {object}"],
    "quality": "golden purple".split(),
    "object": "lantern basket letter violin".split(),
    "where": ["{near} the {place}"],
    "near": "under behind near".split(),
    "place": "bridge mountain kitchen".split(),
}

SHORTEST, LONGEST = 4, 12  # words in a sentence
MISSES_AT_MOST = 500  # draws in a row without a new sentence


def spoken(sentence):
    """The sentence as the synthesiser gets it."""
    return re.sub(r"/\w+", "", sentence)


def transcript(sentence):
    """The sentence as LibriSpeech writes it: upper case, no punctuation."""
    return re.sub(r"\w+/|[^\w' ]", "", sentence).upper()


def draw_sentences(grammar, count, generator, used, accept=None):
    """List of `count` new sentences; `used`, the set of all sentences drawn before, is added to.

    `generator` is a numpy Generator; a sentence that `accept` (default: `reads_well`) turns down is drawn again.
    Raises DataError when the grammar has too few sentences left.
    """
    accept = accept or reads_well
    sentences, misses = [], 0
    while len(sentences) < count:
        sentence = _expand(grammar, "{sentence}", generator)
        if sentence in used or not accept(sentence):
            misses += 1
            if misses > MISSES_AT_MOST:
                raise DataError(f"the grammar has only about {len(used)} sentences: ask for fewer minutes")
            continue
        used.add(sentence)
        sentences.append(sentence)
        misses = 0
    return sentences


def reads_well(sentence):
    """Whether the sentence has a usual length and repeats no longer word ("the king gave the king")."""
    words = transcript(sentence).split()
    content = [word for word in words if len(word) > 3]
    return SHORTEST <= len(words) <= LONGEST and len(content) == len(set(content))


def _expand(grammar, form, generator):
    def choose_form(match):
        forms = grammar[match[1]]
        return _expand(grammar, forms[generator.integers(len(forms))], generator)

    return re.sub(r"{(\w+)}", choose_form, form)
