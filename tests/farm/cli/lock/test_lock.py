"""`farm lock`: results outlast other software; what is edited is made with what is installed."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from actors.media.ffmpeg import media_fingerprint
from cluster.local.cluster import LocalCluster, one_node
from farm.events import TaskCommitted
from farm.execution.driver import RayOptions, render_on_ray
from farm.page.actions import Actions
from farm.page.config import PageConfig
from farm.page.drivers import Drivers
from farm.page.reading import Reader
from farm.page.views import Views
from farm.session.opening import Scope
from farm.state import fingerprint, voids
from jobs.hashing import sha256_of_file
from jobs.loading.load import load_spec
from jobs.store.documents import LOCKED
from jobs.store.store import Store
from tests.farm.cli.lock.conftest import JOB, NEW, OLD, SHOTS, VIDEO, Film, Torch

if TYPE_CHECKING:
    import pytest

    from tests.farm.cli.conftest import Farm


def test_an_edited_shot_alone_is_made_with_other_software(film: Film, torch: Torch) -> None:
    before = film.segments()
    assert film("lock", JOB).out.startswith(f"{JOB}: 20 results locked")
    torch.version = NEW
    film.write(s05="another prompt")
    film.render()
    after = film.segments()
    assert film.computed() == {"encode": 1, "sample": 1, "decode": 1, "segment": 1}
    assert {task for task in after if after[task] != before[task]} == {f"{VIDEO}/00004/segment"}
    told = film.film()
    assert not told["exact"]
    old, new = told["made_with"]
    assert (old["software"]["torch"], new["software"]["torch"]) == (OLD, NEW)
    assert old["shots"] == [name for name in SHOTS if name != "s05"]
    assert new["shots"] == ["s05"]
    assert film("verify", JOB).code == 0


def test_the_cost_is_named_before_it_is_paid(film: Film, torch: Torch) -> None:
    torch.version = NEW
    told = film("plan", film.spec)
    cause = f"torch {OLD} -> {NEW} would make 20 of 20 tasks anew ("
    assert cause in told.out
    assert f"`farm lock {JOB} --runs {film.runs}` keeps what is committed" in told.out
    assert film.store.committed_digests()
    refused = film("resume", JOB, "--serial")
    assert refused.code == 5
    assert cause in refused.err
    assert f"torch was {OLD} and is {NEW}" in refused.err
    film("lock", JOB)
    after = film("plan", film.spec)
    assert "anew" not in after.out
    assert "locked: 20 tasks" in after.out
    assert film("plan", film.spec, "-o", "json").json["stages"][0]["left"] == 0


def test_nobody_is_asked_where_all_is_locked(film: Film, torch: Torch) -> None:
    before, sha256 = film.segments(), film.film()["sha256"]
    film("lock", JOB)
    torch.version = NEW
    film.render()
    assert film.computed() == Counter()
    assert film.segments() == before
    assert sha256_of_file(film.folder / "out" / "film.mp4") == sha256
    told = film.film()
    assert told["exact"]
    assert told["made_with"] == []
    film("unlock", JOB)
    assert "would make 20 of 20 tasks anew" in film("plan", film.spec).out


def test_a_film_of_two_kinds_says_so_everywhere(film: Film, torch: Torch) -> None:
    film("lock", JOB)
    torch.version = NEW
    film.write(s05="another prompt")
    said = film.render().err
    line = f"s05: rendered with what is installed now, torch {NEW}"
    first = "film.mp4 is of several kinds of software or device, exact: false"
    others = f"s01, s02, s03, s04: locked on {time.strftime('%Y-%m-%d', time.gmtime())}, torch {OLD}"
    assert all(words in said for words in (first, line, others))
    status, logs = film("status", JOB).out, film("logs", JOB).out
    assert all(words in status for words in (first, line, others, "locked 16 tasks of 20"))
    assert all(words in logs for words in (first, line, others))
    page = (film.runs / JOB / "report.html").read_text()
    assert all(words in page for words in (first, line, others, "exact <b>no</b>"))
    live = shown(film)
    assert all(words in live for words in (first, line, others, "locked <b>16 / 20</b>"))
    beside = json.loads((film.folder / "out" / "film.otio").read_text())["metadata"]["ltx_farm"]
    assert not beside["exact"]
    assert beside["made_with"] == film.film()["made_with"]


def shown(film: Film) -> str:
    """The job on the live page."""
    config = PageConfig(str(film.runs))
    reader, drivers = Reader(config), Drivers(config)
    html = "".join(part.html for part in Views(reader, Actions(reader, drivers), drivers).job(JOB))
    drivers.close()
    return html


def test_another_device_makes_the_rest_once_all_is_locked(film: Film, torch: Torch) -> None:
    film.write(s05="another prompt")
    torch.compute = "another cpu"
    planned = film("plan", film.spec).out
    assert "compute class cpu of these tests -> another cpu would make 16 of 16 tasks anew" in planned
    refused = film("render", film.spec, "--serial")
    assert refused.code == 5
    assert (
        f"`farm lock {JOB} --runs {film.runs}` to keep what is committed and make the rest here"
        in refused.err
    )
    film("lock", JOB)
    film.render()
    assert film.computed() == {"encode": 1, "sample": 1, "decode": 1, "segment": 1}
    assert [each["software"]["compute"] for each in film.film()["made_with"]] == [
        "cpu of these tests",
        "another cpu",
    ]


def test_other_media_tools_alone_mix_nothing(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    film("lock", JOB)
    other = {**media_fingerprint(), "ffmpeg": "ffmpeg 99 of another day"}
    for module in (fingerprint, voids):
        monkeypatch.setattr(module, "media_fingerprint", lambda: other)
    film.render()
    assert film.computed() == Counter()
    assert film.film()["exact"]
    film("unlock", JOB)
    assert " -> 99 would make 5 of 20 tasks anew" in film("plan", film.spec).out


def test_locks_of_several_years(film: Film, torch: Torch) -> None:
    film("lock", JOB)
    for version, shot in ((NEW, "s05"), ("2.14.0", "s02")):
        torch.version = version
        film.write(**{"s05": "another prompt", shot: "another prompt"})
        film.render()
        assert film.computed()["sample"] == 1
        film("lock", JOB)
    torch.version = "2.15.0"
    film.render()
    assert film.computed() == Counter()
    told = [(each["software"]["torch"], len(each["shots"])) for each in film.film()["made_with"]]
    assert told == [(OLD, 3), (NEW, 1), ("2.14.0", 1)]


def chain(middle: str) -> dict[str, Any]:
    """One shot of four chunks, each continuing the one before."""
    prompts = ("a harbor", "fog", middle, "rain")
    first, *more = ({"prompt": prompt} for prompt in prompts)
    extends = [{"extend": {**each, "num_new_frames": 16, "overlap_frames": 16}} for each in more]
    return {"name": VIDEO, "chunks": [{"generate": {**first, "num_frames": 33}}, *extends]}


def test_chunks_before_an_edited_one_stay(tmp_path: Path, farm: Farm, torch: Torch) -> None:
    film = Film(tmp_path, farm)
    film.write_videos(chain("noon"))
    film.render()
    film("lock", JOB)
    before, there = film.segments(), film.store.committed_digests()
    torch.version = NEW
    film.write_videos(chain("midnight"))
    film.render()
    after = film.segments()
    assert after[f"{VIDEO}/00000/segment"] == before[f"{VIDEO}/00000/segment"]
    assert film.computed()["sample"] == 2
    assert there <= film.store.committed_digests()
    old, new = film.film()["made_with"]
    assert (old["shots"], new["shots"]) == (["shot 1"], ["shot 1"])
    assert old["stages"]["sample"] == new["stages"]["sample"] == 2


def test_what_is_approved_stays_approved(tmp_path: Path, farm: Farm, torch: Torch) -> None:
    film = Film(tmp_path, farm)
    shots = [{"name": name, "seconds": 0.35, "prompt": name} for name in ("s01", "s02")]
    steps: dict[str, Any] = {"upscale": {"steps": 2}, "run": {"approve": "sample"}}
    film.write_videos({"name": VIDEO, "shots": shots}, **steps)
    assert film("render", film.spec, "--serial").code == 3
    film("approve", JOB, "--all")
    film.render()
    film("lock", JOB)
    torch.version = NEW
    film.render()
    assert film.computed() == Counter()
    film.write_videos({"name": VIDEO, "shots": [shots[0], {**shots[1], "prompt": "another"}]}, **steps)
    assert film("render", film.spec, "--serial").code == 3
    assert film.computed()["sample"] == 1
    film("approve", JOB, "--all")
    film.render()
    assert film.computed()["upscale"] == 1
    assert [each["shots"] for each in film.film()["made_with"]] == [["s01"], ["s02"]]


def test_workers_make_the_rest_and_another_driver_waits(film: Film, torch: Torch) -> None:
    film("lock", JOB)
    before, torch.version = film.segments(), NEW
    film.write(s03="another prompt")
    loaded = load_spec(yaml.safe_load(film.spec.read_text()))
    cluster = LocalCluster([one_node(gpus=2, cpus=4)], lambda _worker, _task: 1.0)
    options = RayOptions(topology="sample=1,upscale+decode=1,segment=1", gpus=2)
    for event in render_on_ray(loaded, Scope(str(film.runs)), options, cluster.connect):
        if isinstance(event, TaskCommitted):
            refused = film("lock", JOB)
            assert (refused.code, "is being rendered" in refused.err) == (5, True)
    assert film.computed() == {"encode": 1, "sample": 1, "decode": 1, "segment": 1}
    after = film.segments()
    assert [task for task in after if after[task] != before[task]] == [f"{VIDEO}/00002/segment"]
    assert [each["shots"] for each in film.film()["made_with"]][1] == ["s03"]


def test_runs_in_an_object_store_are_locked(film: Film, torch: Torch) -> None:
    runs = f"memory://locked-{film.folder.name}"
    assert film.farm("render", film.spec, "--serial", "--runs", runs).code == 0
    assert film.farm("lock", JOB, "--runs", runs).code == 0
    torch.version = NEW
    assert film.farm("prune", "--results", "--yes", "--runs", runs).code == 0
    again = film.farm("render", film.spec, "--serial", "--runs", runs, "-o", "json")
    assert again.json["tasks"]["reused"] == again.json["tasks"]["total"] == 20
    assert film.farm("verify", JOB, "--runs", runs).code == 0
    assert Store.find(runs, JOB).has(LOCKED)
