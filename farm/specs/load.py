"""Loading a spec with everything that the farm can measure of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import Problem, UsageError
from jobs.loading.load import LoadedSpec, load_spec
from jobs.planning.facts import Probes

if TYPE_CHECKING:
    from farm.options import RenderOptions

SpecSource = str | Path | Mapping[str, Any] | LoadedSpec


def load(spec: SpecSource, options: RenderOptions, ahead: bool = False) -> LoadedSpec:
    """The checked spec of a file, of a mapping (paths relative to the current folder), or itself. `ahead` of
    a download, files of recipes need neither be here nor be named."""
    from actors.media.probe import probe_video
    from actors.models import TINY_CHECKPOINT
    from actors.models.tiny_words import read_bundled

    if isinstance(spec, LoadedSpec):
        return spec
    if not isinstance(spec, str | Path | Mapping):
        rule = "the path of a spec, a mapping of the same shape, or a loaded spec"
        raise UsageError([Problem("spec", type(spec).__name__, rule, "give one of these")])
    probes = Probes(
        video=probe_video,
        image=_when_called("actors.media.images", "probe_image"),
        sound=_when_called("actors.media.audio", "check_sound"),
        prompt=read_bundled,
        clip=_when_called("actors.media.frames", "check_clip"),
        latent=_when_called("actors.latents", "check_latents"),
        bundled=TINY_CHECKPOINT,
    )
    return load_spec(spec, options.overrides, options.code, ahead=ahead, probes=probes)


def _when_called(module: str, name: str) -> Callable[..., Any]:
    """A function of a module that needs numpy, which is imported with the first file of its kind."""

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **named)

    return call
