"""The real scheduler on virtual time: makespans, faults and what a run looked like."""
