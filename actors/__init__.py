"""HOW a chunk is made: engines, stage steps and the plain worker. Imports torch, not Ray."""
