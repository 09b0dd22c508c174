"""Word error rates, how certain they are, and the files that hold them. Imports neither torch nor SpeechBrain."""

from recipes.scoring.alignments import write_alignments
from recipes.scoring.homophones import homophone_scores, read_pairs
from recipes.scoring.normalizers import score_normalizer
from recipes.scoring.results import (
    DecodedUtterance,
    EpochRecord,
    LanguageModelSummary,
    RunSummary,
    ScoredText,
    SplitResult,
    TextResult,
    alignments_file,
    decoded_file,
)
from recipes.scoring.significance import bootstrap_interval, holm, matched_pairs, paired_bootstrap, spread
from recipes.scoring.transcription import Transcription, decoded_utterances
from recipes.scoring.wer import align_words, character_error_rate, errors_by_utterance, score_split, table

__all__ = [
    "DecodedUtterance",
    "EpochRecord",
    "LanguageModelSummary",
    "RunSummary",
    "ScoredText",
    "SplitResult",
    "TextResult",
    "Transcription",
    "align_words",
    "alignments_file",
    "bootstrap_interval",
    "character_error_rate",
    "decoded_file",
    "decoded_utterances",
    "errors_by_utterance",
    "holm",
    "homophone_scores",
    "matched_pairs",
    "paired_bootstrap",
    "read_pairs",
    "score_normalizer",
    "score_split",
    "spread",
    "table",
    "write_alignments",
]
