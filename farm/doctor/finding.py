"""One line of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`fail` stops the job, `warn` does not, `ok` is as it should be."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it stands, and what to do (empty where all is well)."""

    check: str
    level: Level
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.level:<5}{self.check}: {self.message}{f' -> {self.fix}' if self.fix else ''}"


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All findings, in the order they were made. `able`: none of them stops the job."""

    able: bool
    findings: tuple[Finding, ...]


def report(findings: Iterable[Finding]) -> DoctorReport:
    """What the findings come to."""
    listed = tuple(findings)
    return DoctorReport(all(finding.level is not Level.FAIL for finding in listed), listed)


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, message)


def warn(check: str, message: str, fix: str) -> Finding:
    """The job can run, but."""
    return Finding(check, Level.WARN, message, fix)


def fail(check: str, message: str, fix: str) -> Finding:
    """The job cannot run."""
    return Finding(check, Level.FAIL, message, fix)
