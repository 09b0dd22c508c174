"""Utterances whose audio turns out unusable when it is read: left out by name, refused where they are many."""

from collections import defaultdict
from collections.abc import Sequence

from data_prep.audio import DAMAGED, EMPTY, NOT_FINITE
from recipes.asr.audio import KEPT_BACK, AudioError
from recipes.asr.data import Unusable
from recipes.asr.remarks import NAMES_SHOWN, Remarks
from recipes.training.processes import gathered

KINDS = {DAMAGED, EMPTY, NOT_FINITE}
LEFT_OUT_AT_MOST = 0.1  # of a split, as in its preparation


class UnusableAudio:
    """The utterances of a split, or of the training set (`train`), whose audio this process could not use."""

    def __init__(self, split: str):
        self.split, self.utterances, self.reported = split, dict[str, Unusable](), frozenset[str]()

    def add(self, unusable: Sequence[Unusable]) -> None:
        """Raises AudioError for audio that only the machine keeps back: to go on without it would train, or test, on
        less than there is."""
        for utterance in unusable:
            if utterance.kind == KEPT_BACK:
                raise AudioError(f"{utterance.reason}: mend that, then give the same command again, which goes on")
        self.utterances |= {utterance.id: utterance for utterance in unusable}

    def as_rows(self) -> list[list]:
        """The utterances of all processes, each of which must call this, as a checkpoint keeps them."""
        return [list(utterance) for utterance in gathered(list(self.utterances.values()))]

    def gather(self) -> int:
        """Collect the utterances of all processes, each of which must call this; returns their number."""
        self.utterances = {utterance.id: utterance for utterance in gathered(list(self.utterances.values()))}
        return len(self.utterances)

    def report(self, remarks: Remarks, total: int) -> None:
        """Name the utterances if there are new ones. total: utterances of the split. Raises as `check`."""
        for kind in KINDS - {utterance.kind for utterance in self.utterances.values()}:
            remarks.left_out(self.split, kind, {}, total)  # what an earlier start named may have been repaired
        if self.utterances.keys() - self.reported:
            self.reported = frozenset(self.utterances)
            by_kind: dict[str, list[Unusable]] = defaultdict(list)
            for name in sorted(self.utterances):
                by_kind[self.utterances[name].kind].append(self.utterances[name])
            for kind, utterances in by_kind.items():
                seconds = {utterance.id: utterance.seconds for utterance in utterances}
                remarks.left_out(self.split, kind, seconds, total, f" ({utterances[0].reason})")
        self.check(total)

    def check(self, total: int) -> None:
        """Raises AudioError if these utterances are more than a tenth of all."""
        unusable = list(self.utterances.values())
        if len(unusable) > LEFT_OUT_AT_MOST * total:
            more = ", …" if len(unusable) > NAMES_SHOWN else ""
            names = ", ".join(utterance.id for utterance in unusable[:NAMES_SHOWN]) + more
            raise AudioError(
                f"{self.split}: the audio of {len(unusable)} of {total} utterances cannot be used: {names} "
                f"({unusable[0].reason}); more than a tenth is refused: repair it (python -m data_prep.librispeech "
                "DATA_FOLDER OUT --check names all)"
            )
