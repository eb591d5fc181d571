"""Attention alone: kernels on the shapes of films."""
