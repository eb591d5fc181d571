"""`report.html`: one self-contained file that shows what a job made, when, where, and what went wrong."""

from farm.report.write import write_report

__all__ = ["write_report"]
