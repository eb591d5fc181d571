"""Every command says what it does, and every option what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer

import farm as package
from farm.cli.main import app, run
from farm.cli.results import RESULTS

if TYPE_CHECKING:
    from tests.farm.cli.conftest import Farm, Rendered

COMMANDS = {
    "init": "commented spec",
    "import": "ComfyUI workflow",
    "schema": "JSON Schema",
    "check": "mistake",
    "migrate": "earlier version",
    "plan": "best topology",
    "recipes": "published settings",
    "doctor": "exit 5",
    "render": "continues one that stopped",
    "submit": "job server",
    "list": "runs directory",
    "status": "how far",
    "logs": "event log",
    "why": "where it is",
    "pause": "start nothing new",
    "resume": "Continue",
    "cancel": "committed stays",
    "retry": "the next render, makes them anew",
    "approve": "second pass follows at once",
    "pick": "samples nothing",
    "lock": "whatever torch, driver, GPU or farm",
    "unlock": "made anew",
    "verify": "damaged",
    "delete": "films stay",
    "prune": "no job needs any more",
    "report": "while it runs or afterwards",
    "serve": "holds the token",
    "notify": "that was not notified",
    "nodes install": "custom_nodes",
    "models get": "nothing without a yes",
    "selftest": "beside diffusers",
}


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help(farm: Farm, command: str) -> None:
    answer = farm(*command.split(), "--help")
    assert answer.code == 0
    assert answer.err == ""
    assert COMMANDS[command] in flat(answer.out)
    assert "--output" in answer.out


def test_the_schema_of_a_command_of_two_words(farm: Farm) -> None:
    assert farm("schema", "nodes", "install").json == farm("schema", "nodes").json


def test_all_commands_are_listed(farm: Farm) -> None:
    listed = flat(farm("--help").out)
    assert all(f" {command.split()[0]} " in listed for command in COMMANDS)


def test_the_table_above_names_every_command() -> None:
    group = typer.main.get_command(app)
    groups = {"nodes": "nodes install", "models": "models get"}
    names = {groups.get(name, name) for name in group.commands}  # type: ignore[attr-defined]
    assert names == set(COMMANDS)
    assert {name.split()[0] for name in COMMANDS} | {"error"} == {*RESULTS, "schema"}


def test_every_option_is_explained() -> None:
    group = typer.main.get_command(app)
    groups = group.commands  # type: ignore[attr-defined]
    commands = {**groups, **groups["nodes"].commands, **groups["models"].commands}
    silent = [
        f"{name} {parameter.name}"
        for name, command in commands.items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert [place for place in silent if not place.endswith((" job", " help"))] == []


def test_version(farm: Farm) -> None:
    assert farm("--version").out == f"farm {package.__version__}\n"


def test_no_command_is_a_question(farm: Farm) -> None:
    answer = farm()
    assert answer.code == 2
    assert "render" in answer.out + answer.err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("farm re", {"recipes", "render", "report", "resume", "retry"}),
        ("farm status ", {"harbor"}),
        ("farm status h", {"harbor"}),
        ("farm status x", set()),
        ("farm doctor --output ", {"text", "json"}),
    ],
)
def test_shell_completion(
    rendered: Rendered,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    offered: set[str],
) -> None:
    monkeypatch.setenv("_FARM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    monkeypatch.chdir(rendered.runs.parent)
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        run([])
    assert done.value.code == 0
    assert set(capsys.readouterr().out.split()) == offered
