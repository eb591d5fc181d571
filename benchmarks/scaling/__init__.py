"""One film on many GPUs, simulated and drawn."""
