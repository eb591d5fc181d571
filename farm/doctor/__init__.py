"""`farm doctor`: what on this machine or cluster would stop a job, each finding with its fix."""

from farm.doctor.examine import Subject, examine
from farm.doctor.finding import DoctorReport, Finding, Level

__all__ = ["DoctorReport", "Finding", "Level", "Subject", "examine"]
