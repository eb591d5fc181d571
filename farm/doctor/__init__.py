"""`farm doctor`: what on this machine or cluster would stop a job, each finding with its fix."""
