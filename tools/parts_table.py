"""Writes the tables of docs/files.md about LTX-2.5 in parts: which files load, and what fits on a card.

    python -m tools.parts_table

Needs no ComfyUI: of its engine the check of a spec is tried alone.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.topology.memory import engine_footprint
from jobs.errors import InputError
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.official.ltx2_parts import CONVOLUTIONS, DIFFUSION, FIELDS, write_parts

if TYPE_CHECKING:
    from farm.topology.candidates import Footprint

PAGE = Path(__file__).parents[1] / "docs" / "files.md"
CARDS = (24.0, 48.0, 80.0, 141.0)
STAGES = (Stage.ENCODE, Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE)
DECODERS = {CONVOLUTIONS: "convolutions", DIFFUSION: "diffusion"}
FILMS = ((768, 512, 121), (960, 544, 121))
"""First passes; the second one has twice the width and height."""


def main() -> None:
    put(PAGE, tables())


def tables() -> dict[str, str]:
    """Both, by the names of their marks."""
    with tempfile.TemporaryDirectory() as folder:
        parts = write_parts(Path(folder))
        return {"parts": table(LOADS_HEAD, loads(parts)), "fits": table(FITS_HEAD, fits(parts))}


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
        load_spec(document(engine(parts, name, "comfyui"), FILMS[0]))
    except InputError as error:
        return error.problems[0].remedy
    return "passes"


def engine(parts: Mapping[str, Path], vae: str, engine_name: str = "diffusers") -> dict[str, Any]:
    """The engine section with that video VAE; the text encoder is a hub id, whose size counts nowhere."""
    fields = {field: str(parts[name]) for name, field in FIELDS.items() if name not in DECODERS}
    chosen = parts[vae if vae in DECODERS else CONVOLUTIONS]
    return {"name": engine_name, **fields, "vae": str(chosen), "text_encoder": "owner/gemma"}


def document(section: dict[str, Any], size: tuple[int, int, int]) -> dict[str, Any]:
    """A film of one clip in two passes without guidance."""
    width, height, frames = size
    plain = {"cfg": 1.0, "steps": 8}
    return {
        "version": 1,
        "name": "film",
        "engine": section,
        "defaults": {"width": width, "height": height, "prompt": "a clip", **plain},
        "videos": [{"name": "a", "chunks": [{"generate": {"num_frames": frames}}]}],
        "upscale": plain,
    }


FITS_HEAD = (
    "decoder",
    "`dtype`",
    "film",
    *(f"`{stage}`" for stage in STAGES),
    "all four",
    *map("{:.0f} GiB".format, CARDS),
)


def fits(parts: Mapping[str, Path]) -> Iterator[tuple[str, ...]]:
    """What workers are reckoned to need, GiB, and what that comes to on cards."""
    for vae, decoder in DECODERS.items():
        for dtype in ("bfloat16", "fp8"):
            for size in FILMS:
                section = {**engine(parts, vae), "dtype": dtype}
                needs = partial(footprint, section, size)
                whole = needs(1000.0)
                gib = [whole.together_gib((stage,)) for stage in STAGES] + [whole.together_gib(STAGES)]
                film = f"{2 * size[0]}x{2 * size[1]}x{size[2]}"
                yield (
                    decoder,
                    dtype,
                    film,
                    *map("{:.1f}".format, gib),
                    *(on_card(needs(card)) for card in CARDS),
                )


def footprint(section: dict[str, Any], size: tuple[int, int, int], device_gib: float) -> Footprint:
    """As `farm plan --gpu-memory` has it, but without the text encoder and the projection in its file. What
    else makes the context lies in the transformer's and counts."""
    plan = make_plan(load_spec(document(section, size)).spec)
    config = EngineConfig.model_validate({**section, "text_encoder": None})
    found = engine_footprint(config, build_graph(plan).tasks.values(), device_gib)
    assert found is not None
    return found


def on_card(needs: Footprint) -> str:
    """How a film is rendered there: by one worker with all models, by one that exchanges them, or not."""
    tiles = ", decode in tiles" if needs.whole_decode_gib else ""
    if needs.together_gib(STAGES) <= needs.device_gib:
        return f"all{tiles}"
    large = [f"`{stage}`" for stage in STAGES if needs.together_gib((stage,)) > needs.device_gib]
    return f"no: {', '.join(large)}" if large else f"a stage at a time{tiles}"


if __name__ == "__main__":
    main()
