"""The voice of espeak-ng through ctypes: text in, 16-bit samples out.

espeak-ng and the package espeakng-loader that brings it are GPL-3; they only make the demo corpus. The
functions called here are those of espeak-ng's ``speak_lib.h`` (https://github.com/espeak-ng/espeak-ng).
"""

import ctypes
from pathlib import Path

import numpy as np

from data_prep.errors import DataError

# The English accents, under names that espeak_SetVoiceByName finds ("en-gb" is not among them).
ACCENTS = tuple("en-us en en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029 en-us-nyc".split())

# Those of the 104 variants of espeak-ng 1.52 that can be followed, by the gender in their files. Left out:
# whispers, effects and voices that stretch words (Alicia, shelby, Marco, AnxiousAndy, Demonic, UniRobot,
# whisper, whisperf, "Mr serious"), and 16 of which a small recogniser trained on all voices got more than a
# quarter of the words wrong (RicishayMax to RicishayMax3, kaukovalta, robosoft, robosoft3, zac, klatt, mike2,
# steph2, Lee, Reed, anikaRobot, anika, norbert, david).
FEMALE_VARIANTS = tuple(
    """
    Andrea Annie aunty belinda f1 f2 f3 f4 f5 grandma linda steph steph3
    """.split()
)
MALE_VARIANTS = tuple(
    """
    Alex Andy Denis Diogo Gene Gene2 Henrique Hugo Jacky Mario Michael Mike Nguyen Storm Tweaky adam
    announcer antonio benjamin boris caleb croak ed edward edward2 fast grandpa gustave ian iven iven2
    iven3 iven4 john klatt2 klatt3 klatt4 klatt5 klatt6 m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel
    miguel pablo paul pedro quincy rob robert robosoft2 robosoft4 robosoft5 robosoft6 robosoft7
    robosoft8 sandro travis victor
    """.split()
)
VARIANTS = FEMALE_VARIANTS + MALE_VARIANTS

# Numbers from speak_lib.h.
_SYNCHRONOUS, _DO_NOT_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _PITCH, _PITCH_RANGE, _WORD_GAP = 1, 3, 4, 7
_LAST_EVENT, _WORD_BEGINS = 0, 1


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


def find_espeak():
    """Path of the espeak-ng library and of its data folder, as two strings.

    Raises DataError when the package espeakng-loader is not installed.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise DataError(
            "the demo corpus needs the synthesiser espeakng-loader: pip install -r requirements-demo.txt"
        ) from error
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


class Espeak:
    """espeak-ng in this process, one voice at a time; ``sample_rate`` is in Hz.

    ``word_starts``: of the sentence spoken last, the sample at which the word at this place of the text begins; words
    that are spoken as one, such as "of a", have the first one's alone.

    The library keeps state between calls (filters, random numbers), so the same text gives the same bytes
    only when every speaker has a fresh process and speaks the same sentences in the same order.
    """

    def __init__(self):
        library_path, self._data_path = find_espeak()
        self._library = ctypes.CDLL(library_path)
        self._c_library = ctypes.CDLL(None)
        self._blocks, self.word_starts = [], {}
        callback_type = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        # espeak-ng keeps only the address: without this reference Python would free the callback.
        self._callback = callback_type(self._receive)
        self._library.espeak_Synth.argtypes = (
            [ctypes.c_char_p, ctypes.c_size_t] + 4 * [ctypes.c_uint] + 2 * [ctypes.c_void_p]
        )
        self._library.espeak_ng_SetRandSeed.argtypes = (ctypes.c_long,)
        self._c_library.srand.argtypes = (ctypes.c_uint,)
        self.sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, self._data_path.encode(), _DO_NOT_EXIT)
        if self.sample_rate <= 0:
            raise DataError(f"espeak-ng cannot read its data in {self._data_path}: reinstall espeakng-loader")
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, count, events):
        number = 0
        while events and events[number].type != _LAST_EVENT:
            if events[number].type == _WORD_BEGINS:
                self.word_starts[events[number].text_position - 1] = events[number].sample
            number += 1
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def set_voice(self, accent, variant, rate, pitch):
        """Choose who speaks: an accent and a variant by name, words a minute, pitch (0 to 100).

        Raises DataError for a voice that does not exist; espeak-ng itself would go on with another one.
        """
        name = f"{accent}+{variant}"
        variant_exists = (Path(self._data_path) / "voices" / "!v" / variant).is_file()
        if not variant_exists or self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise DataError(f"this espeak-ng has no voice {name}: pip install -r requirements-demo.txt")
        # A change of voice leaves some parameters at the values of the voice before.
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_PITCH_RANGE, 50), (_WORD_GAP, 0)):
            self._library.espeak_SetParameter(parameter, int(value), 0)

    def speak(self, text, seed):
        """Samples (int16 array at ``sample_rate``) of one sentence; ``seed`` fixes its noise and flutter."""
        self._blocks.clear()
        self.word_starts.clear()
        self._library.espeak_ng_SetRandSeed(seed)
        self._c_library.srand(seed)
        text = text.encode() + b"\0"
        self._library.espeak_Synth(text, len(text), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
