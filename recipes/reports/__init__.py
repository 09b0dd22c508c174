"""The HTML report of a run, and the parts of which other pages are made."""

from recipes.reports.run_report import write_report

__all__ = ["write_report"]
