"""Clips and guides through ComfyUI's samplers."""
