"""Items that need several GPUs."""
