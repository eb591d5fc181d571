"""The bundled tiny LTX model: one single-file checkpoint and the text encoder that reads its prompts."""

from __future__ import annotations

from pathlib import Path

TINY_CHECKPOINT = Path(__file__).with_name("tiny-ltx.safetensors")
"""Transformer, video VAE, latent upsampler and text encoder in the original single-file layout."""
