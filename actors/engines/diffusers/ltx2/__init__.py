"""LTX-2 (2.0, 2.3, 2.5), which makes pictures and sound together, through diffusers' modules."""
