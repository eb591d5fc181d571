"""A film that one torch made, and another torch."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.engines.fake import FakeEngine
from farm.events import TaskStarted
from farm.state import fingerprint, voids
from farm.state.event_log import EventLog
from farm.state.fingerprint import DIGESTS_FORM
from farm.state.progress import split_task
from jobs.store.store import Store
from tests.farm.cli.conftest import Answer, Farm

JOB, VIDEO = "film", "film"
SHOTS = ("s01", "s02", "s03", "s04", "s05")
OLD, NEW = "2.12.0", "2.13.0"


class Torch:
    """The torch that every engine and every look at the installed packages finds."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.version = OLD
        self.compute = "cpu of these tests"
        plain = FakeEngine.fingerprint

        def fingerprint_of(engine: FakeEngine) -> dict[str, Any]:
            return {**plain(engine), "packages": {"torch": self.version}, "compute": self.compute}

        def sources(_: FakeEngine) -> dict[str, dict[str, str]]:
            return {"packages": {"torch": self.version}, "files": {}}

        patch.setattr(FakeEngine, "fingerprint", fingerprint_of)
        patch.setattr(FakeEngine, "sources", sources)
        for module in (fingerprint, voids):
            patch.setattr(module, "installed_versions", lambda names: dict.fromkeys(names, self.version))
        patch.setattr(voids, "compute_class", lambda _: self.compute)


@dataclass
class Film:
    """A film in a folder of its own."""

    folder: Path
    farm: Farm

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def spec(self) -> Path:
        return self.folder / "film.yaml"

    @property
    def store(self) -> Store:
        return Store.find(str(self.runs), JOB)

    def write(self, **prompts: str) -> None:
        shown = {name: prompts.get(name, f"shot {name}") for name in SHOTS}
        shots = [{"name": name, "seconds": 0.35, "prompt": prompt} for name, prompt in shown.items()]
        self.write_videos({"name": VIDEO, "shots": shots})

    def write_videos(self, *videos: dict[str, Any], **changes: Any) -> None:
        document: dict[str, Any] = {
            "version": 1,
            "name": JOB,
            "engine": {"name": "fake"},
            "defaults": {"width": 64, "height": 64, "steps": 2},
            "videos": list(videos),
            "output": {"dir": str(self.folder / "out"), "timeline": "otio"},
            **changes,
        }
        self.spec.write_text(yaml.safe_dump(document))

    def __call__(self, *words: object) -> Answer:
        return self.farm(*words, "--runs", self.runs)

    def render(self) -> Answer:
        answer = self("render", self.spec, "--serial")
        assert answer.code == 0, answer.err
        return answer

    def segments(self) -> dict[str, str]:
        """SHA-256 of every segment, by task."""
        kept = self.store.recall(DIGESTS_FORM)
        assert kept is not None
        names = [task for task in kept.digests if split_task(task)[2] == "segment"]
        commits = {task: self.store.commit(kept.digests[task]) for task in names}
        return {task: commit.sha256 for task, commit in commits.items() if commit is not None}

    def computed(self) -> Counter[str]:
        """Tasks that the newest driver run computed, by stage."""
        events = (logged.event for logged in EventLog(self.store, newest_run=True))
        return Counter(split_task(event.task)[2] for event in events if isinstance(event, TaskStarted))

    def film(self) -> dict[str, Any]:
        found: dict[str, Any] = self("status", JOB, "-o", "json").json["videos"][0]["film"]
        return found


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> Torch:
    return Torch(monkeypatch)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that is rendered with the old torch, made once."""
    from farm.api import films

    folder = tmp_path_factory.mktemp("locked")
    with pytest.MonkeyPatch.context() as patch:
        Torch(patch)
        film = Film(folder, lambda *_: Answer(0, "", ""))
        film.write()
        films(str(film.spec), runs=str(film.runs), serial=True)
    return folder


@pytest.fixture
def film(template: Path, tmp_path: Path, farm: Farm) -> Film:
    shutil.copytree(template / "runs", tmp_path / "runs")
    found = Film(tmp_path, farm)
    found.write()
    return found
