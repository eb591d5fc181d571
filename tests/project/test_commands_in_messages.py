"""Commands that messages name can be typed as they stand: they are built in one place, and each is run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm.cli.main import run
from farm.state.job_state import CANCELLED, PAUSED, read_state
from jobs.commands import command_at, job_command, render_command, resume_command
from jobs.errors import CannotRun
from jobs.store.chosen import SEEDS, SEEDS_COPY
from jobs.store.documents import DIGESTS, PLAN, STATE, UserRequest
from jobs.store.store import Store
from tests.official.files import write_release
from tests.project.trees import ROOT, nodes

NAMED = re.compile(r"`farm ([a-z]+)\b([^`]*)`")
BUILT_IN = "jobs/commands.py"
WITHOUT_JOB = ("check", "doctor", "init", "migrate", "models", "plan", "recipes", "render", "schema")
"""What may be named bare: the reader's own file follows, or nothing has to."""


def literals(path: Path) -> Iterator[ast.Constant]:
    """Strings of the module that are no docstrings."""
    said = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node


def test_commands_on_a_job_are_built_in_one_place() -> None:
    """Written out, one lacks the job or the runs directory sooner or later."""
    wrong = []
    for package in ("jobs", "actors", "cluster", "farm"):
        for path in (ROOT / package).rglob("*.py"):
            if path.relative_to(ROOT).as_posix() in (BUILT_IN, "jobs/spec/reference.py"):
                continue
            for node in literals(path):
                for verb, rest in re.findall(r"`farm ([a-z]+)([^`]*)", str(node.value)):
                    if verb not in WITHOUT_JOB or "SPEC" in rest:
                        wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} farm {verb}{rest}")
    assert not wrong


def test_commands_that_take_a_job_up_know_how_it_is_rendered() -> None:
    """Of `job_command` one would start Ray for a job that is rendered without it."""
    unaware = re.compile(r"(job_command|command_at)\(\s*f?[\"']resume")
    modules = (path for package in ("jobs", "farm") for path in (ROOT / package).rglob("*.py"))
    assert [path for path in modules if unaware.search(path.read_text())] == [ROOT / BUILT_IN]


def test_the_runs_directory_is_left_out_only_where_it_is_the_usual_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FARM_RUNS", raising=False)
    assert job_command("resume", "harbor", "runs") == "farm resume harbor"
    assert job_command("retry --all", "a b", "my runs") == "farm retry 'a b' --all --runs 'my runs'"
    assert command_at("why", "s3://bucket/runs/harbor/") == "farm why harbor --runs s3://bucket/runs"
    assert render_command("harbor-2", "harbor", "runs", "mono", "my film.yaml") == (
        "farm render 'my film.yaml' --job-id harbor-2"
    )
    assert render_command("a", "a", "my runs", "serial") == "farm render SPEC --serial --runs 'my runs'"
    assert resume_command("a", "my runs", "serial") == "farm resume a --serial --runs 'my runs'"
    assert resume_command("a", "runs", "mono") == "farm resume a"
    monkeypatch.setenv("FARM_RUNS", "/elsewhere")
    assert job_command("resume", "harbor", "runs") == "farm resume harbor --runs runs"


# -- each message's commands, run ---------------------------------------------------------------------------


SPEC = """
version: 1
name: harbor
engine: {name: fake}
defaults: {width: 64, height: 64, steps: 1}
videos: [{name: dawn, chunks: [{generate: {prompt: a, num_frames: 9}}]}]
output: {dir: out, preset: ultrafast}
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Store:
    """A rendered job in a runs directory that is not the usual one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FARM_RUNS", raising=False)
    (tmp_path / "film.yaml").write_text(SPEC)
    assert run(["render", "film.yaml", "--serial", "--runs", "my runs"]) == 0
    capsys.readouterr()
    return Store.find("my runs", "harbor")


def paused(store: Store) -> None:
    _state(store, outcome=PAUSED, reason="the disk was full")


def cancelled(store: Store) -> None:
    _state(store, outcome=CANCELLED, reason="cancelled by the user")


def interrupted(store: Store) -> None:
    _state(store, outcome="interrupted", reason="stopped by SIGTERM")


def torn_state(store: Store) -> None:
    Path(store.url, STATE).write_text('{"job": "har')


def torn_plan(store: Store) -> None:
    Path(store.url, PLAN).write_text("{")


def pause_asked(store: Store) -> None:
    interrupted(store)
    store.request(UserRequest.PAUSE)


def missing_state(store: Store) -> None:
    Path(store.url, STATE).unlink()


def missing_plan(store: Store) -> None:
    Path(store.url, PLAN).unlink()


def other_software(store: Store) -> None:
    store.write_json(DIGESTS, {**(store.read_json(DIGESTS) or {}), "farm": "0.0.9", "media": {"ffmpeg": "0"}})


def again(store: Store) -> None:
    assert run(["retry", store.job_id, "--all", *RUNS]) == 0


def edited(store: Store) -> None:
    again(store)
    Path("film.yaml").write_text(SPEC.replace("prompt: a", "prompt: b"))


def hopeless(store: Store) -> None:
    """Its sample fails whenever it is tried."""
    Path("faults.json").write_text('{"faults": [{"task": "dawn/00000/sample", "do": "raise"}]}')
    Path("film.yaml").write_text(SPEC.replace("{name: fake}", "{name: fake, fake: {faults: faults.json}}"))
    again(store)


def quarantined(store: Store) -> None:
    hopeless(store)
    run(["render", "film.yaml", "--serial", *RUNS])


def nothing(store: Store) -> None: ...


def _state(store: Store, **changes: Any) -> None:
    from dataclasses import replace

    state = read_state(store)
    assert state is not None
    store.write_json(STATE, replace(state, **changes).to_json())


RUNS = ["--runs", "my runs"]
CASES: list[tuple[Callable[[Store], None], list[str]]] = [
    (paused, ["why", "harbor"]),
    (interrupted, ["why", "harbor"]),
    (cancelled, ["render", "film.yaml", "--serial"]),
    (cancelled, ["why", "harbor"]),
    (torn_state, ["status", "harbor"]),
    (torn_state, ["why", "harbor"]),
    (torn_state, ["verify", "harbor"]),
    (torn_state, ["cancel", "harbor"]),
    (torn_state, ["render", "film.yaml", "--serial"]),
    (torn_plan, ["why", "harbor", "dawn/0/sample"]),
    (torn_plan, ["retry", "harbor", "--all"]),
    (pause_asked, ["render", "film.yaml", "--serial"]),
    (missing_state, ["status", "harbor"]),
    (missing_plan, ["why", "harbor", "dawn/0/sample"]),
    (other_software, ["resume", "harbor", "--serial"]),
    (edited, ["resume", "harbor", "--serial"]),
    (hopeless, ["render", "film.yaml", "--serial"]),
    (quarantined, ["why", "harbor"]),
    (nothing, ["cancel", "harbor"]),
    (nothing, ["pause", "harbor"]),
    (nothing, ["retry", "harbor", "--all"]),
]


@pytest.mark.usefixtures("encode_once", "join_once")
@pytest.mark.parametrize(
    ("prepare", "command"),
    CASES,
    ids=lambda case: "-".join(case) if isinstance(case, list) else case.__name__,
)
def test_every_command_that_is_named_can_be_typed(
    job: Store,
    prepare: Callable[[Store], None],
    command: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(job)
    capsys.readouterr()
    run([*command, *RUNS])
    lost = prepare in (torn_state, missing_state) and "--serial" not in command
    type_commands(capsys, without_ray=() if lost else ("--serial",))


def type_commands(
    capsys: pytest.CaptureFixture[str],
    mend: Callable[[], Any] = lambda: None,
    without_ray: tuple[str, ...] = ("--serial",),
) -> None:
    """Runs what the last messages name, after what they ask for beside it, `without_ray` where they know."""
    said = capsys.readouterr()
    named = NAMED.findall(said.out + said.err)
    assert named, "the message names no command"
    mend()
    for verb, rest in named:
        words = shlex.split(rest)
        if verb in ("render", "resume"):
            assert {"--serial"}.intersection(words) == set(without_ray), f"farm {verb} {rest}"
            words = ["film.yaml" if word == "SPEC" else word for word in words] + ["--serial"]
        assert run([verb, *words]) in (0, 3), f"farm {verb} {rest}: {capsys.readouterr().err}"


def test_seeds_that_are_lost_are_drawn_again(job: Store, capsys: pytest.CaptureFixture[str]) -> None:
    copies = [Path(job.url, name) for name in (SEEDS, SEEDS_COPY)]
    for copy in copies:
        copy.write_text("{")
    assert run(["render", "film.yaml", "--serial", *RUNS]) == 3

    def lose() -> None:
        for copy in copies:
            copy.unlink()

    type_commands(capsys, lose)


def test_a_report_that_could_not_be_written_is_written(
    job: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(job.url, "report.html")
    page.unlink()
    page.mkdir()
    assert run(["render", "film.yaml", "--serial", *RUNS]) == 0
    type_commands(capsys, page.rmdir)
    assert page.is_file()


@pytest.mark.parametrize(
    "command",
    [["render", "film.yaml", "--serial"], ["lock", "harbor"], ["delete", "harbor"]],
    ids=lambda command: command[0],
)
def test_who_renders_a_job_can_be_stopped(
    job: Store, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(job)
    with job.lock():
        assert run([*command, *RUNS]) == CannotRun.exit_code
        type_commands(capsys)
        assert UserRequest.CANCEL in job.requests()


def no_hub(*_: object) -> None:
    raise CannotRun("the hub cannot be reached")


RECIPE = "ltxv-2b-0.9.8-distilled"
OTHER = "my models/ltxv-13b-0.9.8-dev.safetensors"


@pytest.mark.parametrize(
    ("recipe", "engine"),
    [("zzz", {"checkpoint": "owner/model"}), (RECIPE, {}), (RECIPE, {"checkpoint": OTHER})],
    ids=["unknown recipe", "no file", "another model"],
)
def test_commands_that_check_names_can_be_typed(
    recipe: str,
    engine: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("farm.models.survey.survey", no_hub)
    Path("my models").mkdir()
    write_release(Path("my models"), Path(OTHER).name)
    changes = {"recipe": recipe, "engine": {"text_encoder": "owner/t5", **engine}}
    Path("film.yaml").write_text(yaml.safe_dump({**yaml.safe_load(SPEC), **changes}))
    assert run(["check", "film.yaml"]) == 2
    ((verb, rest),) = NAMED.findall(capsys.readouterr().err)
    assert run([verb, *shlex.split(rest)]) in (0, CannotRun.exit_code), capsys.readouterr().err
