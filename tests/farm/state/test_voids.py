"""What would have results made anew, by cause, from what is recorded of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from actors.compute import compute_class
from actors.engines.diffusers.engine import VERSION
from actors.media.ffmpeg import media_fingerprint
from farm.state.fingerprint import DIGESTS_FORM, Frozen
from farm.state.locks import Lock, Locks, write_locks
from farm.state.voids import Recorded
from jobs.file_digests import file_digest
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.store.store import Store
from jobs.tasks.digest import STAGE_VERSION, digests
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.planning.planned import Plan

LORA, OTHER = b"a lora", b"another"


class Job:
    """Two shots, of which the first shows a picture; all their results are there."""

    def __init__(self, folder: Path) -> None:
        self.image, self.lora = folder / "fog.png", folder / "fog.safetensors"
        Image.new("RGB", (64, 64), "red").save(self.image)
        self.lora.write_bytes(LORA)
        self.plan = self._plan(folder)
        self.store = Store.open(str(folder / "runs"), "film")
        self.kept = self._kept()
        self.store.save(DIGESTS_FORM, self.kept)
        recorded = Recorded.of(self.store, self.plan, "cpu")
        assert recorded is not None
        found = digests(recorded.graph, recorded.expected())
        self.keep(digests=found)
        for task, digest in found.items():
            self.store.put(digest, 1, "bin", task.encode(), {})

    def _plan(self, folder: Path) -> Plan:
        data: dict[str, Any] = {
            "version": 3,
            "name": "film",
            "engine": {"name": "fake"},
            "videos": [
                {
                    "name": "film",
                    "chunks": [
                        {"generate": {"prompt": "fog", "first_image": str(self.image)}},
                        {"generate": {"prompt": "sun"}},
                    ],
                }
            ],
            "output": {"dir": str(folder / "out")},
        }
        loaded = load_spec(data)
        plan = make_plan(loaded.spec, loaded.facts)
        models = {"name": "diffusers", "diffusion_model": "m.safetensors"}
        return replace(plan, engine=plan.engine.model_copy(update=models))

    def _kept(self) -> Frozen:
        lora = file_digest(str(self.lora))
        return Frozen(
            config=self.plan.engine.model_dump(mode="json"),
            engine={
                "engine": "diffusers",
                "version": VERSION,
                "packages": {"pydantic": "1.0", "numpy": ""},
                "compute": compute_class("cpu"),
                "sample": {"transformer": "m", "loras": [[lora, 1.0]]},
                "decode": {"vae": "m"},
            },
            sources={"packages": {}, "files": {str(self.lora): lora}},
            media=media_fingerprint(),
            stages={stage.value: version for stage, version in STAGE_VERSION.items()},
            farm="0.1.0",
            inputs={str(self.image): file_digest(str(self.image))},
        )

    def keep(self, **changes: Any) -> None:
        self.kept = replace(self.kept, **changes)
        self.store.save(DIGESTS_FORM, self.kept)

    def lock(self) -> None:
        names = ("config", "engine", "sources", "media", "stages", "farm")
        fields = {name: getattr(self.kept, name) for name in names}
        write_locks(self.store, Locks((Lock(tuple(self.kept.digests.values()), **fields),)))

    def told(self, device: str = "cpu") -> list[tuple[str, int, bool]]:
        """Cause, tasks, and whether a lock is named as the way out; each task takes a second."""
        recorded = Recorded.of(self.store, self.plan, device)
        assert recorded is not None
        voids = recorded.voids(lambda _: 1.0)
        assert all(void.seconds == void.tasks <= void.of == len(self.kept.digests) for void in voids)
        return [(void.cause, void.tasks, bool(void.remedy)) for void in voids]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def rewritten(path: Path, data: bytes) -> None:
    """Another content, which is read as one."""
    path.unlink()
    path.write_bytes(data)


def test_nothing_changed_voids_nothing(job: Job) -> None:
    assert job.told() == []


def test_packages(job: Job) -> None:
    job.keep(sources={**job.kept.sources, "packages": {"pydantic": "1.0"}})
    every = len(job.kept.digests)
    (told,) = job.told()
    assert told[0].startswith("pydantic 1.0 -> 2.")
    assert told[1:] == (every, True)
    job.lock()
    assert job.told() == []


def test_another_lora_reaches_what_is_sampled_with_it(job: Job) -> None:
    rewritten(job.lora, OTHER)
    samples = [task for task in job.kept.digests if not task.startswith("encode/")]
    assert job.told() == [(f"another content of {job.lora}", len(samples), False)]
    job.lock()
    assert job.told() == [(f"another content of {job.lora}", len(samples), False)], "the spec names it"


def test_another_picture_reaches_the_shot_that_shows_it(job: Job) -> None:
    Image.new("RGB", (64, 64), "blue").save(job.image.with_suffix(".blue.png"))
    rewritten(job.image, job.image.with_suffix(".blue.png").read_bytes())
    assert job.told() == [(f"another content of {job.image}", 4, False)], "encode, sample, decode, segment"
    job.lock()
    assert job.told()[0][1] == 4


def test_another_device(job: Job) -> None:
    job.keep(engine={**job.kept.engine, "compute": "NVIDIA H200"})
    for digest, task in zip(job.kept.digests.values(), job.kept.digests, strict=True):
        job.store.put(digest, 1, "bin", task.encode(), {})
    assert job.told("H200") == job.told("gpu") == []


def test_another_farm(job: Job) -> None:
    job.keep(stages={**job.kept.stages, "decode": 0}, engine={**job.kept.engine, "version": 0})
    recorded = Recorded.of(job.store, job.plan, "cpu")
    assert recorded is not None
    words = [cause.words for cause in recorded.causes]
    assert words[0].startswith(f"the farm's diffusers engine 0 -> {VERSION} (farm 0.1.0 -> ")
    assert words[1].startswith(f"the farm's decode stage 0 -> {STAGE_VERSION[Stage.DECODE]} (farm ")
    changed = recorded.expected()
    assert changed.engine["version"] == VERSION
    assert changed.stages == STAGE_VERSION


def test_nothing_is_said_of_a_job_of_another_engine(job: Job) -> None:
    other = replace(job.plan, engine=job.plan.engine.model_copy(update={"name": "fake"}))
    assert Recorded.of(job.store, other, "cpu") is None
    assert Recorded.of(Store.at(job.store.runs_url, "none"), job.plan, "cpu") is None
