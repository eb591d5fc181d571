"""Array side of the chain arithmetic: what an extend keeps, blends and appends, and what a decode gathers.

Latent arrays are `[B, C, T, h, w]`; every span counts latents on axis 2. The numbers come from `jobs.frames`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jobs.errors import StageBug
from jobs.frames import Span, blend_weights

TIME_AXIS = 2
Weights = Callable[[int], tuple[float, ...]]
"""Weights of the new latents by their number."""


def tail_of(artifact: np.ndarray, overlap: int) -> np.ndarray:
    """The chain's last `overlap` latents, from the artifact of its last chunk."""
    have = artifact.shape[TIME_AXIS]
    if have < overlap:
        raise StageBug(
            f"the previous artifact holds {have} latents and the overlap needs {overlap}; report this"
        )
    return artifact[:, :, have - overlap :]


def extend_artifact(tail: np.ndarray, sampled: np.ndarray, weights: Weights = blend_weights) -> np.ndarray:
    """The artifact of an extend from the chain's tail (o latents) and the raw sampled clip (o + n latents).

    The raw slot 0 holds 8 frames in a slot that decodes to one, so the chain's own latent stands there; the
    next o - 1 are blended with `weights` for the new ones; n new ones follow.
    """
    overlap = tail.shape[TIME_AXIS]
    own = tail[:, :, :1]
    blended = blend(tail[:, :, 1:], sampled[:, :, 1:overlap], weights)
    return np.concatenate([own, blended, sampled[:, :, overlap:]], axis=TIME_AXIS).astype(np.float32)


def blend(old: np.ndarray, new: np.ndarray, by_count: Weights = blend_weights) -> np.ndarray:
    """Cross-fade over all of axis 2, from `old` to `new`, in float32."""
    weights = np.asarray(by_count(old.shape[TIME_AXIS]), dtype=np.float32).reshape(1, 1, -1, 1, 1)
    return old * (np.float32(1) - weights) + new * weights


def gather(artifacts: Sequence[np.ndarray], spans: Sequence[Span], wanted: Span) -> np.ndarray:
    """The latents `wanted` of a chain from artifacts that each hold one span of it, in chain order.

    Where two artifacts overlap the later one counts, since it holds the blended latents; but not its first
    latent, which belongs to the chain before it (an unguided upscale has an unusable slot 0 there).
    """
    first = artifacts[0]
    shape = list(first.shape)
    shape[TIME_AXIS] = len(wanted)
    clip = np.empty(shape, dtype=first.dtype)
    filled = np.zeros(len(wanted), dtype=bool)
    for artifact, span in zip(artifacts, spans, strict=True):
        start, stop = max(span.start, wanted.start), min(span.stop, wanted.stop)
        if start == span.start and start < stop and filled[start - wanted.start]:
            start += 1
        if start >= stop:
            continue
        here = slice(start - wanted.start, stop - wanted.start)
        clip[:, :, here] = artifact[:, :, start - span.start : stop - span.start]
        filled[here] = True
    if not filled.all():
        raise StageBug(f"latents {wanted} are not covered by {list(spans)}; report this")
    return clip
