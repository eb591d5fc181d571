"""Guides: known latents that ride along at the end of the clip, each with the frame it stands for.

Conditioning is ComfyUI's `[[tensor, options], ...]`; a pair is (positive, negative).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from actors.engines.comfyui.core.nodes import Core
from jobs.frames import SPATIAL, TEMPORAL

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.pieces import Piece

Conditioning = list[Any]
Pair = tuple[Conditioning, Conditioning]

SCALE = (TEMPORAL, SPATIAL, SPATIAL)

GUIDE_KEYS = ("keyframe_idxs", "guide_attention_entries")
"""Options that LTXVAddGuide puts on conditioning."""


def encode_image(core: Core, vae: Any, image: torch.Tensor, size: tuple[int, int], crf: int) -> torch.Tensor:
    """IMAGE `[1, H, W, 3]` in [0, 1], or `[1, H, W, 4]` without its alpha -> latents `[1, C, 1, h, w]`.

    It is cropped to `size` (width, height) and passed through H.264 at `crf` (0 is off): the model was
    trained on frames of compressed video.
    """
    return vae.encode(preprocess(core, fit(image[:1, ..., :3], size), crf))


def fit(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cover `size` (width, height) and crop the middle, `[B, H, W, C]`."""
    import comfy.utils

    if (image.shape[2], image.shape[1]) == size:
        return image
    return comfy.utils.common_upscale(image.movedim(-1, 1), *size, "bilinear", "center").movedim(1, -1)


def preprocess(core: Core, image: torch.Tensor, crf: int) -> torch.Tensor:
    return core.call("LTXVPreprocess", image=image, img_compression=crf)[0] if crf else image


def add_guides(
    core: Core, pair: Pair, clip: torch.Tensor, guides: Sequence[Piece]
) -> tuple[Pair, dict[str, Any]]:
    """Append the guides to `clip` `[1, C, T, h, w]`.

    Returns the conditioning that knows them and a LATENT whose samples are `[1, C, T + sum(g), h, w]`. The
    denoise mask is set here, because cores disagree on what `strength` does to it.
    """
    latent: dict[str, Any] = {"samples": clip}
    for guide in guides:
        pair, latent = _add(core, pair, latent, guide)
        masks = torch.tensor([min(1.0, max(0.0, 1.0 - hold)) for hold in guide.holds])
        latent["noise_mask"][:, :, -len(masks) :] = masks.to(latent["noise_mask"]).view(1, 1, -1, 1, 1)
    return pair, latent


def _add(core: Core, pair: Pair, latent: dict[str, Any], guide: Piece) -> tuple[Pair, dict[str, Any]]:
    if guide.latents.shape[2] > 1:
        return _append(core, pair, latent, guide)
    positive, negative, latent = core.call(
        "LTXVAddGuide",
        positive=pair[0],
        negative=pair[1],
        vae=_Encoded(guide.latents),
        latent=latent,
        image=torch.zeros(1, 32, 32, 3),
        frame_idx=guide.frame,
        strength=guide.attention,
    )
    return (positive, negative), latent


def _append(core: Core, pair: Pair, latent: dict[str, Any], guide: Piece) -> tuple[Pair, dict[str, Any]]:
    """A guide of several latents. The node would encode it again, and older ones keep only part of it."""
    node = core.node("LTXVAddGuide")
    clip = latent["samples"]
    mask = latent.get("noise_mask")
    if mask is None:
        mask = torch.ones((clip.shape[0], 1, clip.shape[2], 1, 1), dtype=torch.float32, device=clip.device)
    positive, negative, samples, mask = node.append_keyframe(
        *pair, guide.frame, clip, mask.clone(), guide.latents, guide.attention, SCALE
    )
    pair = _track(core, (positive, negative), guide)
    return pair, {"samples": samples, "noise_mask": mask}


def _track(core: Core, pair: Pair, guide: Piece) -> Pair:
    """Cores that attenuate attention per guide count its tokens in `guide_attention_entries`."""
    node = core.node("LTXVAddGuide")
    if not _keeps_entries(node):
        return pair
    entry = {
        "pre_filter_count": guide.latents[0, 0].numel(),
        "strength": guide.attention,
        "pixel_mask": None,
        "latent_shape": list(guide.latents.shape[2:]),
    }
    return tuple(_with_entry(conditioning, entry) for conditioning in pair)  # type: ignore[return-value]


def _keeps_entries(node: Any) -> bool:
    import sys

    return hasattr(sys.modules[node.__module__], "_append_guide_attention_entry")


def _with_entry(conditioning: Conditioning, entry: dict[str, Any]) -> Conditioning:
    def added(options: dict[str, Any]) -> dict[str, Any]:
        return {
            **options,
            "guide_attention_entries": [*(options.get("guide_attention_entries") or ()), entry],
        }

    return [[item[0], added(item[1])] for item in conditioning]


@dataclass(frozen=True)
class _Encoded:
    """Stands in for a VAE where the guide image is already encoded, so that core's own node places it."""

    latents: torch.Tensor
    downscale_index_formula: ClassVar[tuple[int, int, int]] = SCALE

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.latents
