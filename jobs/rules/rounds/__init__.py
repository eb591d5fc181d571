"""What temporal rounds need: of the spec, and of the models."""
