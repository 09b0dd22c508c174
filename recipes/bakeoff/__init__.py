"""Comparisons of mixers: what a comparison's folder holds, its statistics, tables and report.

What plans and trains them (`plan`, `comparison`) loads SpeechBrain and is no part of this face.
"""

from recipes.bakeoff.output import check_places, show_results, write_results
from recipes.bakeoff.record import ComparisonRecord, EntryRecord
from recipes.bakeoff.report import write_report
from recipes.bakeoff.results import Comparison, MixerSummary, PairTest, Problem, RunRow, SplitStatistics

__all__ = [
    "Comparison",
    "ComparisonRecord",
    "EntryRecord",
    "MixerSummary",
    "PairTest",
    "Problem",
    "RunRow",
    "SplitStatistics",
    "check_places",
    "show_results",
    "write_report",
    "write_results",
]
