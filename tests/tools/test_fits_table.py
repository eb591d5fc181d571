"""The table of what fits on which card is the one that its tool makes today, and what `farm plan` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.options import RenderOptions
from farm.specs.load import load
from farm.verbs.plan import PlanRequest, plan_job
from jobs.errors import CapacityError
from jobs.tasks.task import Stage
from tools.fits_table import CARDS, CELLS, PAGE, Cell, document_of, footprint, on_card, stages_of, tables


def test_the_page_has_the_table_of_today() -> None:
    text = PAGE.read_text(encoding="utf-8")
    begin = text.index("<!-- fits -->\n") + len("<!-- fits -->\n")
    assert text[begin : text.index("<!-- end -->", begin)] == tables()["fits"], (
        "run python -m tools.fits_table"
    )


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.model.title} {cell.width} {cell.dtype}")
@pytest.mark.parametrize("card", CARDS)
def test_a_plan_says_what_fits_before_any_download(cell: Cell, card: float, tmp_path: Path) -> None:
    document = document_of(cell, tmp_path)
    fits = on_card(footprint(document, card), stages_of(cell))
    request = PlanRequest(str(tmp_path / "runs"), device="H200", gpu_gib=card)
    loaded = load(document, RenderOptions(), ahead=True)
    if fits.startswith("no"):
        with pytest.raises(CapacityError, match=f"alone needs .* {card:.0f}; .* the files are not here"):
            plan_job(loaded, request)
        return
    report = plan_job(loaded, request)
    assert report.options[0].exchanges_models is fits.startswith("a stage at a time")
    assert ("tiles" in report.memory) is ("tiles" in fits)
    assert f"`farm models get {cell.model.recipe} " in report.models
    assert report.times_from.startswith("LTXV 13B" if "13B" in cell.model.title else "LTX-2")


def test_what_makes_the_context_counts_with_the_text_encoder(tmp_path: Path) -> None:
    """LTX-2.5's connectors are 3.76 GiB and its projection 2.15; Gemma is 22.27. They leave first."""
    cell = next(cell for cell in CELLS if cell.model.recipe == "ltx-2.5-distilled" and cell.two_passes)
    needs, stages = footprint(document_of(cell, tmp_path), 1000.0), stages_of(cell)
    rest = [stage for stage in stages if stage is not Stage.ENCODE]
    text_gib = needs.weights_gib[Stage.ENCODE]["text encoder"]
    assert text_gib == pytest.approx(3.76 + 2.15 + 22.27, abs=0.01)
    assert needs.at_once_gib(stages) - needs.at_once_gib(rest) == pytest.approx(text_gib)
    assert needs.together_gib(stages) == pytest.approx(needs.together_gib(rest))
