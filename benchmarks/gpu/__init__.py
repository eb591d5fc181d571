"""What the farm does on a GPU, at real sizes, with random weights. `docs/gpu.md` has the last numbers."""
