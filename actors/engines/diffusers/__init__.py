"""LTX-Video through diffusers' modules; the engine of the bundled tiny model."""
