"""What the tiny model learns to film: a procedural world, its sound, its language."""
