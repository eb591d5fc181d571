"""No command passes on what a terminal would obey, wherever it stands: names, prompts, errors, events."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.state.job_state import STATE_FORM, FailedTask
from jobs.store.store import Store
from tests.farm.cli.conftest import JOB, Farm, Rendered, document

# Without a slash, so that it can stand in a file's name.
EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\x7f\u202egnp.\u2066\r\x08[bold]b"
OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def assert_plain(farm: Farm, *words: object, code: int | None = None) -> str:
    answer = farm(*words)
    said = answer.out + answer.err
    found = OBEYED.search(said)
    assert found is None, (words, ascii(said[max(0, found.start() - 60) : found.end() + 20]))
    assert "a bug in the farm" not in said, (words, said)
    assert "Traceback" not in said, (words, said)
    assert code is None or answer.code == code, (words, said)
    return said


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A good spec whose prompts, paths and file name are hostile."""
    folder = tmp_path / f"dir{EVIL}"
    folder.mkdir()
    data = document(folder / f"out{EVIL}", defaults={"prompt": EVIL, "width": 64, "height": 64})
    for video in data["videos"]:
        video["chunks"] = [
            {kind: {**settings, "prompt": EVIL} for kind, settings in chunk.items()}
            for chunk in video["chunks"]
        ]
    path = folder / "film.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("verb", ["check", "plan", "doctor"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_of_a_spec(farm: Farm, film: Path, verb: str, form: str) -> None:
    said = assert_plain(farm, verb, film, "-o", form, code=0)
    assert verb == "check" or form == "json" or "\\x1b[31m" in said


@pytest.mark.parametrize(
    "change",
    [
        {EVIL: 1},
        {"name": EVIL},
        {"engine": {"name": "fake", EVIL: EVIL}},
        {"engine": {"name": EVIL}},
        {"engine": {"name": "comfyui", "comfyui": EVIL, "checkpoint": EVIL}},
        {"engine": {"name": "fake", "loras": [{"path": EVIL + ".pt"}]}},
        {"defaults": {"sampler": EVIL, "guider": {"name": "cfg", "params": {EVIL: EVIL}}}},
        {"matrix": {"mood": [EVIL]}},
        {"matrix": {EVIL: ["a"]}},
        {"run": {"topology": EVIL}},
        {"output": {"dir": "\0" + EVIL}},
        {"videos": [{"name": "a", "source": {"video": EVIL}, "chunks": [{"extend": {"prompt": "p"}}]}]},
        {"videos": [{"name": "a", "sound": EVIL, "chunks": [{"generate": {"prompt": "{x}" + EVIL}}]}]},
        {"videos": [{"name": "a", "chunks": [{"generate": {"prompt": "p", "first_image": EVIL}}]}]},
    ],
    ids=lambda change: ascii(next(iter(change)))[:20],
)
def test_of_a_faulty_spec(farm: Farm, film: Path, change: dict[str, Any]) -> None:
    film.write_text(json.dumps({**json.loads(film.read_text()), **change}))
    for words in (["check"], ["check", "-o", "json"], ["submit", "--dry-run"], ["render", "--serial"]):
        assert_plain(farm, words[0], film, *words[1:], code=2)


@pytest.mark.parametrize(
    "text", ["a: *" + EVIL, "a: !" + EVIL, EVIL, '"\\e[31m": 1\n"\\e[31m": 2', "? [\\e]\n"]
)
def test_of_text_that_is_no_spec(farm: Farm, tmp_path: Path, text: str) -> None:
    path = tmp_path / f"{EVIL}.yaml"
    path.write_text(text)
    assert_plain(farm, "check", path, code=2)


def test_of_the_command_line(farm: Farm, film: Path, tmp_path: Path) -> None:
    for words in (
        (EVIL,),
        ("check", EVIL),
        ("check", film, f"--{EVIL}"),
        ("check", film, "-p", EVIL),
        ("check", film, "-p", f"name={EVIL}"),
        ("check", film, "-p", f"{EVIL}=3"),
        ("plan", film, "--gpus", EVIL),
        ("plan", film, "-t", EVIL),
        ("doctor", film, "--comfyui", EVIL),
        ("render", film, "--until", EVIL),
        ("render", film, "--serial", "--runs", tmp_path / EVIL, "--job-id", EVIL),
        ("status", EVIL, "--runs", tmp_path / EVIL),
        ("list", "--runs", tmp_path / EVIL),
        ("nodes", "install", "--comfyui", tmp_path / EVIL),
        ("init", tmp_path / EVIL, "--name", EVIL),
        ("schema", EVIL),
        ("submit", film, "--dry-run", "--job-id", EVIL),
        ("submit", f"/nowhere/{EVIL}.yaml", "--dry-run"),
    ):
        assert_plain(farm, *words)


def test_of_a_render(farm: Farm, film: Path, tmp_path: Path) -> None:
    said = assert_plain(farm, "render", film, "--serial", "--runs", tmp_path / "runs", code=0)
    assert "\\x1b[31m" in said


def poisoned(value: Any) -> Any:
    """Every text of a document, with something to obey in it."""
    if isinstance(value, dict):
        return {key: item if key in KEPT else poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return value + EVIL if isinstance(value, str) else value


KEPT = ("event", "outcome", "farm", "format", "kind", "task", "stages", "totals", "done", "state")


@pytest.fixture
def hostile(rendered: Rendered) -> Rendered:
    """A run directory whose events and state say hostile things."""
    for path in (rendered.folder / "events").iterdir():
        events = [json.loads(line) for line in path.read_text().splitlines()]
        failure = {
            "event": "task_failed", "task": "dawn/00000/sample", "worker": "w", "attempt": 1,
            "kind": "bug", "message": "m", "then": "t", "at_s": 1.0,
        }  # fmt: skip
        gone = {"event": "worker_gone", "worker": "w", "reason": "r", "lost": [], "at_s": 1.0}
        lines = [json.dumps(poisoned(event)) for event in [*events, failure, gone]]
        path.write_text("\n".join([*lines, EVIL]) + "\n")
    store = Store.find(str(rendered.runs), JOB)
    state = store.recall(STATE_FORM)
    assert state is not None
    films = tuple(replace(film, path=film.path + EVIL) for film in state.videos)
    failed = (FailedTask("dawn/00000/sample", "bug", EVIL),)
    store.save(STATE_FORM, replace(state, reason=EVIL, videos=films, failed=failed, topology=EVIL))
    shutil.rmtree(rendered.folder / "artifacts")
    return rendered


@pytest.mark.parametrize(
    "words",
    [
        ("status", JOB), ("list",), ("logs", JOB), ("logs", JOB, "--task", "dawn/0/sample"), ("why", JOB),
        ("why", JOB, "dawn/0/sample"), ("why", JOB, "dawn/0/" + EVIL), ("verify", JOB), ("report", JOB),
        ("retry", JOB, "--video", "dawn", "--dry-run"), ("retry", JOB, "--video", EVIL, "--dry-run"),
        ("pause", JOB), ("cancel", JOB), ("resume", JOB, "--serial"),
    ],
    ids=lambda words: ascii(" ".join(words))[:40],
)  # fmt: skip
@pytest.mark.parametrize("form", ["text", "json"])
def test_of_a_run_directory(farm: Farm, hostile: Rendered, words: tuple[str, ...], form: str) -> None:
    said = assert_plain(farm, *words, "--runs", hostile.runs, "-o", form)
    if form == "text" and words[0] in ("status", "logs", "why"):
        assert "\\x1b[31mred" in said


def test_of_a_job_server(farm: Farm, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        address = EVIL

        def __init__(self, address: str | None) -> None: ...

        def submit(self, request: Any) -> str:
            return str(request.submission_id)

    class End:
        status, exit_code, message = "FAILED", 3, EVIL

    monkeypatch.setattr("cluster.job_server.jobs.JobServer", Server)
    monkeypatch.setattr(
        "farm.submission.submit.follow", lambda _server, _submission: iter([EVIL, EVIL + "\n"])
    )
    monkeypatch.setattr("farm.submission.submit.JobServer", Server, raising=False)
    monkeypatch.setattr(Server, "end", lambda _self, _submission: End, raising=False)
    for form in ("text", "json"):
        said = assert_plain(farm, "submit", film, "-o", form, code=3)
        assert "\\x1b[31m" in said
