"""Loading a spec with everything that the farm can measure of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farm.options import RenderOptions
from jobs.errors import Problem, UsageError
from jobs.loading.load import LoadedSpec, load_spec
from jobs.planning.facts import Probes

SpecSource = str | Path | Mapping[str, Any] | LoadedSpec


def load(spec: SpecSource, options: RenderOptions) -> LoadedSpec:
    """The checked spec of a file, of a mapping (paths relative to the current folder), or itself."""
    from actors.latents import check_latents
    from actors.media.audio import check_sound
    from actors.media.frames import check_clip
    from actors.media.images import probe_image
    from actors.media.probe import probe_video
    from actors.models import TINY_CHECKPOINT
    from actors.models.tiny_words import read_bundled

    if isinstance(spec, LoadedSpec):
        return spec
    if not isinstance(spec, str | Path | Mapping):
        rule = "the path of a spec, a mapping of the same shape, or a loaded spec"
        raise UsageError([Problem("spec", type(spec).__name__, rule, "give one of these")])
    probes = Probes(
        probe_video, probe_image, check_sound, read_bundled, check_clip, check_latents, TINY_CHECKPOINT
    )
    return load_spec(spec, options.overrides, options.code, probes=probes)
