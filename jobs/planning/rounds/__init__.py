"""Temporal rounds: stretches of a clip, tiles of a canvas, and what stages are given of them."""
