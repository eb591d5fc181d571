"""Writes the table of docs/files.md about LTX-2.5 in parts: which files load.

    python -m tools.parts_table

Needs no ComfyUI: of its engine the check of a spec is tried alone.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jobs.errors import InputError
from jobs.loading.load import load_spec
from tests.official.ltx2_parts import CONVOLUTIONS, DIFFUSION, FIELDS, write_parts

PAGE = Path(__file__).parents[1] / "docs" / "files.md"
DECODERS = (CONVOLUTIONS, DIFFUSION)


def main() -> None:
    put(PAGE, tables())


def tables() -> dict[str, str]:
    """By the name of its marks."""
    with tempfile.TemporaryDirectory() as folder:
        return {"parts": table(LOADS_HEAD, loads(write_parts(Path(folder))))}


def put(page: Path, tables: Mapping[str, str]) -> None:
    """Each table between its marks."""
    text = page.read_text(encoding="utf-8")
    for name, made in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, partial(_filled, made), text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")


def _filled(made: str, place: re.Match[str]) -> str:
    return place[1] + made + place[2]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """In Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


LOADS_HEAD = ("file", "`engine.`", "GiB", "diffusers", "ComfyUI, the check alone")


def loads(parts: Mapping[str, Path]) -> Iterator[tuple[str, ...]]:
    """Every file at full width: beside diffusers' modules, and before ComfyUI's check."""
    for name, field in FIELDS.items():
        size = f"{parts[name].stat().st_size / 2**30:.1f}"
        yield (f"`{name}`", f"`{field}`", size, _filled_by(parts[name], field), _checked(parts, name))


def _filled_by(path: Path, field: str) -> str:
    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2 import components
    from actors.engines.diffusers.ltx2.loading import _vae_component

    makers: dict[str, tuple[Callable[[Any], Any], ...]] = {
        "diffusion_model": (components.transformer_component,),
        "vae": (_vae_component,),
        "audio_vae": (components.audio_vae_component, components.vocoder_component),
        "upscale_model": (components.upsampler_component,),
    }
    for make in makers[field]:
        make(Checkpoint.open(path)).empty()
    return "loads"


def _checked(parts: Mapping[str, Path], name: str) -> str:
    try:
        load_spec(document(engine(parts, name)))
    except InputError as error:
        return error.problems[0].remedy
    return "passes"


def engine(parts: Mapping[str, Path], vae: str) -> dict[str, Any]:
    """The engine section with that video VAE; the text encoder is not looked at."""
    fields = {field: str(parts[name]) for name, field in FIELDS.items() if name not in DECODERS}
    chosen = parts[vae if vae in DECODERS else CONVOLUTIONS]
    return {"name": "comfyui", **fields, "vae": str(chosen), "text_encoder": "gemma.safetensors"}


def document(section: dict[str, Any]) -> dict[str, Any]:
    """A film of one clip in two passes without guidance."""
    plain = {"cfg": 1.0, "steps": 8}
    return {
        "version": 1,
        "name": "film",
        "engine": section,
        "defaults": {"width": 768, "height": 512, "prompt": "a clip", **plain},
        "videos": [{"name": "a", "chunks": [{"generate": {"num_frames": 121}}]}],
        "upscale": plain,
    }


if __name__ == "__main__":
    main()
