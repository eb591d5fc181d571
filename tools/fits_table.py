"""Writes the table of docs/models.md about what fits on a card, by the sizes that recipes have.

python -m tools.fits_table
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.topology.memory import engine_footprint
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.official.ltx2_parts import DIFFUSION
from tests.official.pixel_vae import write_pixel_vae
from tools.parts_table import put, table

if TYPE_CHECKING:
    from farm.topology.candidates import Footprint

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
CARDS = (24.0, 48.0, 80.0, 141.0)
STAGES = (Stage.ENCODE, Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE)
SOUND: Mapping[str, Any] = MappingProxyType({"sound": [{"generate": True}]})


class Model(NamedTuple):
    """A recipe, and the file that is its video VAE where that is another."""

    title: str
    recipe: str
    vae: str = ""


class Cell(NamedTuple):
    """A clip of 121 frames: its size, and whether a second pass makes it of half the width and height."""

    model: Model
    dtype: str
    width: int
    height: int
    two_passes: bool


MODELS = (
    Model("LTX-2.3", "ltx-2.3-distilled"),
    Model("LTX-2.5", "ltx-2.5-distilled"),
    Model("LTX-2.5, diffusion decoder", "ltx-2.5-distilled", DIFFUSION),
    Model("LTX-Video 13B", "ltxv-13b-0.9.8-distilled"),
)
FILMS = ((768, 512, False), (1920, 1088, True))
CELLS = tuple(
    Cell(model, dtype, *film) for model in MODELS for film in FILMS for dtype in ("bfloat16", "fp8")
)
HEAD = (
    "model",
    "film",
    "`dtype`",
    *(f"`{stage}`" for stage in STAGES),
    "together",
    *map("{:.0f} GiB".format, CARDS),
)


def main() -> None:
    put(PAGE, tables())


def tables() -> dict[str, str]:
    """By the name of its marks."""
    with tempfile.TemporaryDirectory() as folder:
        return {"fits": table(HEAD, rows(Path(folder)))}


def rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """What workers are reckoned to need, GiB, and what that comes to on cards."""
    for cell in CELLS:
        document = document_of(cell, folder)
        whole, passes = footprint(document, 1000.0), f"{cell.width}x{cell.height}"
        stages = stages_of(cell)
        gib = [f"{whole.together_gib((stage,)):.1f}" if stage in stages else "-" for stage in STAGES]
        together = f"{whole.together_gib(stages):.1f}"
        fits = (on_card(footprint(document, card), stages) for card in CARDS)
        yield (cell.model.title, passes, cell.dtype, *gib, together, *fits)


def stages_of(cell: Cell) -> tuple[Stage, ...]:
    return STAGES if cell.two_passes else tuple(stage for stage in STAGES if stage is not Stage.UPSCALE)


def document_of(cell: Cell, folder: Path) -> dict[str, Any]:
    """A spec that names no file but a VAE that no recipe has, which lies in `folder`."""
    engine = {"name": "diffusers", "dtype": cell.dtype}
    if cell.model.vae:
        path = folder / cell.model.vae
        engine["vae"] = str(path if path.exists() else write_pixel_vae(path))
    size = {"width": cell.width, "height": cell.height}
    base = {side: pixels // 2 for side, pixels in size.items()} if cell.two_passes else size
    chunk = {"generate": {"prompt": "a harbor at dawn", "num_frames": 121}}
    sound = SOUND if cell.model.title.startswith("LTX-2") else {}
    return {
        "version": 3,
        "name": "film",
        "recipe": cell.model.recipe,
        "engine": engine,
        "defaults": base,
        "videos": [{"name": "film", **sound, "chunks": [chunk]}],
        **({"upscale": {}} if cell.two_passes else {}),
    }


def footprint(document: dict[str, Any], device_gib: float) -> Footprint:
    """As `farm plan --gpu-memory` has it."""
    plan = make_plan(load_spec(document, ahead=True).spec)
    found = engine_footprint(plan.engine, build_graph(plan).tasks.values(), device_gib)
    assert found is not None
    return found


def on_card(needs: Footprint, stages: tuple[Stage, ...]) -> str:
    """How a film is rendered there: by one worker with all models, by one that exchanges them, or not; which
    of them are streamed, and whether it decodes in tiles."""
    streams = f", {' and '.join(sorted(needs.streamed))} streamed" if needs.streamed else ""
    ways = f"{streams}{', decode in tiles' if needs.whole_decode_gib else ''}"
    if needs.together_gib(stages) <= needs.device_gib:
        return f"all{ways}"
    large = [f"`{stage}`" for stage in stages if needs.together_gib((stage,)) > needs.device_gib]
    return f"no: {', '.join(large)}" if large else f"a stage at a time{ways}"


if __name__ == "__main__":
    main()
