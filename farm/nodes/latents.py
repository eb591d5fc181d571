"""ComfyUI's LATENT dictionaries: pictures, sound beside them, and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

SILENT = (
    "no sound was made: connect `audio`, or `audio_vae` to an LTX-2 model; RS LTXV Extend goes on with the "
    "sound of a latent that has it (LTXV Concat AV Latent joins the two)."
)


def parts_of(value: Any) -> tuple[torch.Tensor, ...]:
    """The tensors of a LATENT's `samples` or `noise_mask`: pictures, then sound where it is an LTX-2 latent
    of both."""
    return tuple(value.unbind()) if getattr(value, "is_nested", False) else (value,)


def sound_output(latents: torch.Tensor | None) -> Any:
    """The third output: LATENT `[1, C, t, f]` of the sound. Without one it stops what is connected to it, and
    says why."""
    if latents is not None:
        return {"samples": latents}
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(SILENT)


def longer_latent(
    given: Mapping[str, Any], video: torch.Tensor, sound: torch.Tensor | None
) -> dict[str, Any]:
    """LATENT `given` with other contents: of pictures and sound where it was of both, its masks grown by what
    is new, which they leave free."""
    if len(parts_of(given["samples"])) == 1 or sound is None:
        mask = given.get("noise_mask")
        return {"samples": video} if mask is None else {"samples": video, "noise_mask": _grown(mask, video)}
    from comfy.nested_tensor import NestedTensor

    made: dict[str, Any] = {"samples": NestedTensor((video, sound))}
    if given.get("noise_mask") is not None:
        masks = parts_of(given["noise_mask"])
        made["noise_mask"] = NestedTensor(
            tuple(_grown(mask, part) for mask, part in zip(masks, (video, sound), strict=False))
        )
    return made


def _grown(mask: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """A denoise mask `[B, 1, T, ...]` at the length of `latents` `[B, C, T', ...]`, and at their size where
    it has one."""
    missing = latents.shape[2] - mask.shape[2]
    if missing > 0:
        mask = torch.cat(
            [mask, torch.ones_like(mask[:, :, -1:]).expand(-1, -1, missing, *mask.shape[3:])], dim=2
        )
    if mask.ndim == 5 and max(mask.shape[3:]) > 1 and mask.shape[3:] != latents.shape[3:]:
        mask = torch.nn.functional.interpolate(mask, size=latents.shape[2:], mode="nearest")
    return mask
