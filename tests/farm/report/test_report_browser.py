"""The report of the multi-shot example in a real browser: it is silent on the console, and the film plays."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.api import render
from farm.report.write import write_report
from jobs.store.store import Store
from tests.farm.browser import Visit, chromium, visit

ROOT = Path(__file__).parents[3]
MOST_BYTES = 5 * 2**20
PLAY = """(async () => {
  const pictures = [...document.images];
  for (const picture of pictures) picture.loading = "eager";
  await Promise.all(pictures.map((picture) => picture.decode()));
  const video = document.querySelector("video");
  video.muted = true;
  await video.play();
  const until = Date.now() + 20000;
  while (video.currentTime < 0.3 && Date.now() < until) await new Promise((done) => setTimeout(done, 50));
  video.pause();
  return {
    width: video.videoWidth, seconds: video.duration, at: video.currentTime, pictures: pictures.length,
    wide: document.documentElement.scrollWidth > window.innerWidth,
    back: getComputedStyle(document.body).backgroundColor,
  };
})()"""

pytestmark = pytest.mark.skipif(chromium() is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("browser")
    overrides = ("engine.name=fake", f"output.dir={home / 'out'}")
    spec = ROOT / "examples" / "multi_shot.yaml"
    list(render(str(spec), runs=str(home / "runs"), serial=True, overrides=overrides))
    return Path(write_report(Store.find(str(home / "runs"), "multi-shot")))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_and_player(page: Path, dark: bool) -> None:
    seen = visit(Visit(page.as_uri(), dark=dark, script=PLAY))
    assert seen.errors == []
    assert (seen.value["width"], seen.value["seconds"]) == (256, pytest.approx(267 / 25, abs=0.05))
    assert seen.value["at"] >= 0.3
    assert seen.value["pictures"] == 5 + 2 * 3 + 1
    assert seen.value["wide"] is False
    assert (seen.value["back"] == "rgb(20, 21, 23)") is dark
    assert page.stat().st_size < MOST_BYTES


def test_narrow_screens_do_not_scroll_sideways(page: Path) -> None:
    assert visit(Visit(page.as_uri(), script=PLAY, width=400)).value["wide"] is False


def test_long_digests_do_not_stand_one_letter_a_line(page: Path, tmp_path: Path) -> None:
    first, path, digest = "<table><tr><td>engine.engine</td>", "deep/" * 12 + "m.safetensors", "a1" * 32
    row = f"<tr><td>made from.files./models/{path}</td><td><code>{digest}</code></td></tr>"
    long = tmp_path / "report.html"
    long.write_text(page.read_text().replace(first, first.replace("<table>", f"<table>{row}")))
    tall = "Math.max(...[...document.querySelectorAll('.wrap tr')].map((row) => row.offsetHeight))"
    assert 0 < visit(Visit(long.as_uri(), script=tall, width=400)).value < 160


def test_page_survives_a_copy_to_another_machine(page: Path, tmp_path: Path) -> None:
    """Without the film beside it the pictures are still there; only the player has nothing to play."""
    copied = tmp_path / "report.html"
    copied.write_bytes(page.read_bytes())
    load = "(picture) => (picture.loading = 'eager', picture.decode())"
    count = f"Promise.all([...document.images].map({load})).then((all) => all.length)"
    seen = visit(Visit(copied.as_uri(), script=count))
    assert seen.value == 12
    assert all("ERR_FILE_NOT_FOUND" in error for error in seen.errors)
