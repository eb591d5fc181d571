"""`report.html`: one self-contained file that shows what a job made, when, where, and what went wrong."""
