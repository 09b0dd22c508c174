"""Utterances whose audio turns out unusable when it is read: left out by name, refused where they are many."""

from collections import defaultdict
from collections.abc import Sequence

from recipes.asr.audio import AudioError
from recipes.asr.data import Unread
from recipes.asr.remarks import NAMES_SHOWN, Remarks
from recipes.training.processes import gathered

LEFT_OUT_AT_MOST = 0.1  # of a split, as in its preparation


class UnreadAudio:
    """The utterances of a split, or of the training set (`train`), whose audio this process could not use."""

    def __init__(self, split: str):
        self.split, self.found, self.reported = split, dict[str, Unread](), frozenset[str]()

    def add(self, unread: Sequence[Unread]) -> None:
        self.found |= {utterance.id: utterance for utterance in unread}

    def gather(self) -> int:
        """Collect the utterances of all processes, each of which must call this; returns their number."""
        self.found = {utterance.id: utterance for utterance in gathered(list(self.found.values()))}
        return len(self.found)

    def report(self, remarks: Remarks, total: int) -> None:
        """Name the utterances if there are new ones. total: utterances of the split. Raises as `check`."""
        if self.found.keys() - self.reported:
            self.reported = frozenset(self.found)
            by_kind: dict[str, list[Unread]] = defaultdict(list)
            for name in sorted(self.found):
                by_kind[self.found[name].kind].append(self.found[name])
            for kind, utterances in by_kind.items():
                seconds = {utterance.id: utterance.seconds for utterance in utterances}
                remarks.left_out(self.split, kind, seconds, total, f" ({utterances[0].reason})")
        self.check(total)

    def check(self, total: int) -> None:
        """Raises AudioError if these utterances are more than a tenth of all."""
        found = list(self.found.values())
        if len(found) > LEFT_OUT_AT_MOST * total:
            names = ", ".join(utterance.id for utterance in found[:NAMES_SHOWN]) + ", …" * (len(found) > NAMES_SHOWN)
            raise AudioError(
                f"{self.split}: the audio of {len(found)} of {total} utterances cannot be used: {names} "
                f"({found[0].reason}); more than a tenth is refused: repair it (python -m data_prep.librispeech "
                "DATA_FOLDER OUT --check names all)"
            )
