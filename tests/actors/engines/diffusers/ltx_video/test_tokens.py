"""The sequence that the transformer sees: coordinates, masks and order of clip and guides."""

from __future__ import annotations

import pytest
import torch

from actors.engines.diffusers.ltx_video.tokens import (
    build_sequence,
    latents_of,
    pixel_coords,
    tokens_of,
)
from actors.engines.pieces import Piece


def _guide(latents: int, frame: int, attention: float = 1.0, hold: float = 1.0) -> Piece:
    return Piece(torch.randn(1, 4, latents, 2, 3), frame, hold, attention)


def test_the_first_latent_is_one_frame_for_causal_models_only() -> None:
    assert pixel_coords((4, 1, 1), 0, causal=True)[0].tolist() == [0, 1, 9, 17]
    assert pixel_coords((4, 1, 1), 0, causal=False)[0].tolist() == [0, 8, 16, 24]


def test_tokens_run_over_time_rows_columns() -> None:
    coords = pixel_coords((2, 2, 3), 0, causal=True)
    assert coords[:, 0].tolist() == [0, 0, 0]
    assert coords[:, 1].tolist() == [0, 0, 32]
    assert coords[:, 3].tolist() == [0, 32, 0]
    assert coords[:, 6].tolist() == [1, 0, 0]


def test_tokens_and_latents_are_inverse() -> None:
    latents = torch.randn(2, 4, 3, 2, 5)
    assert torch.equal(latents_of(tokens_of(latents), latents.shape), latents)


def test_guides_are_appended_with_their_own_time() -> None:
    clip = torch.zeros(1, 4, 3, 2, 3)
    overlap, still = _guide(2, 0), _guide(1, 16, hold=0.75)
    sequence = build_sequence(clip, [overlap, still], frame_rate=8.0, causal=True)
    assert sequence.clip == 3
    assert torch.equal(sequence.latents[:, :, 3:5], overlap.latents)
    assert torch.equal(sequence.latents[:, :, 5:], still.latents)
    assert sequence.mask is not None
    assert sequence.mask.flatten().tolist() == [1, 1, 1, 0, 0, 0.25]
    seconds = sequence.coords[0, 0].view(6, 6)[:, 0].tolist()
    assert seconds == pytest.approx([0, 1 / 8, 9 / 8, 0, 1 / 8, 16 / 8])


def test_a_guide_inside_the_clip_keeps_eight_frames_per_latent() -> None:
    """As ComfyUI: only a guide at frame 0 or a still counts its first latent as one frame."""
    sequence = build_sequence(torch.zeros(1, 4, 3, 2, 3), [_guide(2, 9)], frame_rate=1.0, causal=True)
    assert sequence.coords[0, 0].view(5, 6)[3:, 0].tolist() == [9, 17]


def test_no_guides_no_mask() -> None:
    sequence = build_sequence(torch.zeros(1, 4, 3, 2, 3), [], frame_rate=25.0, causal=True)
    assert sequence.mask is None
    assert sequence.attention is None


def test_attention_weights_only_where_one_differs() -> None:
    clip = torch.zeros(1, 4, 3, 2, 3)
    assert build_sequence(clip, [_guide(1, 0)], 25.0, True).attention is None
    sequence = build_sequence(clip, [_guide(1, 0), _guide(1, 8, attention=0.5)], 25.0, True)
    assert sequence.attention is not None
    assert sequence.attention.tolist() == [1.0] * 6 + [0.5] * 6
