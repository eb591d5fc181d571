"""The pages tell the truth: links lead somewhere, commands parse, examples run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.exceptions import Exit, TyperException

import farm
from cluster import metrics
from farm.cli.main import app
from jobs.errors import SpecError
from jobs.loading.load import load_spec

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
PATHS = r"`((?:docs|examples|actors|cluster|benchmarks|tools|tests)/[\w./-]+\.\w+)`"
PLACEHOLDERS = {
    "SPEC": "film.yaml",
    "JOB": "film",
    "COMMAND": "status",
    "N": "4",
    "TAKE": "2",
    "TASK": "film/0/sample",
}
NAMES = [path.name for path in PAGES]


def blocks(text: str, *kinds: str) -> Iterator[str]:
    for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        if kind in kinds:
            yield body


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)#][^)]*)\)", text) if "://" not in link]
    missing = [path for path in re.findall(PATHS, text) if not (ROOT / path).exists()]
    assert missing + [link for link in links if not (page.parent / link).exists()] == []


def command_lines(text: str) -> Iterator[list[str]]:
    """Every `farm …`, in code blocks and in running text, with placeholders filled in."""
    lines = [line for body in blocks(text, "", "sh") for line in body.splitlines()]
    lines += re.findall(r"`(farm [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for written in lines:
        said = written.split("#")[0]
        line = said.partition(" -- ")[2] or said
        if re.match(r"\s*farm [a-z-]", line) and not re.search(r"[…\[]", line):
            yield [PLACEHOLDERS.get(word, word) for word in shlex.split(line)[1:]]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_parse(page: Path) -> None:
    wrong = [" ".join(words) for words in command_lines(page.read_text()) if not parses(words)]
    assert wrong == []


@cache
def command_line() -> Any:
    """Of all verbs with their options, which it takes a while to read."""
    return typer.main.get_command(app)


def parses(words: list[str]) -> bool:
    """Whether the command and its options exist; what they are given is another matter."""
    group = command_line()
    if words[0].startswith("-"):
        return True
    command = group.commands.get(words[0])
    while command is not None and hasattr(command, "commands") and len(words) > 1:
        words, command = words[1:], command.commands.get(words[1])
    if command is None:
        return False
    try:
        command.make_context(words[0], list(words[1:]), resilient_parsing=False)
    except Exit:
        return True
    except TyperException as error:
        return "Missing argument" in error.format_message()
    return True


def test_the_quick_starts_film_is_a_film(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no other problem than those that the page shows once it has its mistakes."""
    page = (ROOT / "docs" / "quickstart.md").read_text()
    (film,) = blocks(page, "yaml")
    monkeypatch.chdir(ROOT)
    assert len(load_spec(yaml.safe_load(film)).spec.videos[0].shots) == 3
    for right, wrong in (
        ("width: 128", "width: 100"), ("seconds: 2,", "second: 2,"), ("shot: ball}", "shot: bal}"),
        ("score.m4a", "scor.m4a"),
    ):  # fmt: skip
        film = film.replace(right, wrong)
    with pytest.raises(SpecError) as refused:
        load_spec(yaml.safe_load(film))
    places = [problem.place for problem in refused.value.problems]
    assert len(places) == 4
    assert all(f"\n  {place}: " in page for place in places)


def test_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first block, on the tiny model."""
    program = next(blocks((ROOT / "docs" / "python.md").read_text(), "python"))
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/python.md", "exec"), {})
    path, frames, _ = capsys.readouterr().out.split()
    assert frames == "33"
    assert (tmp_path / path).exists()


def test_python_page_uses_public_names() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    used = {
        node.attr
        for body in blocks(text, "python")
        for node in ast.walk(ast.parse(body))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "farm"
    }
    assert used <= set(farm.__all__)
    assert set(re.findall(r"`farm\.(\w+)[`(]", text)) <= set(farm.__all__)


def test_python_page_names_every_option() -> None:
    from dataclasses import fields

    text = (ROOT / "docs" / "python.md").read_text()
    assert all(f"| `{field.name}` |" in text for field in fields(farm.RenderOptions))


def test_metrics_page_names_every_series() -> None:
    made = set(re.findall(r'"(farm_\w+)"', Path(metrics.__file__).read_text()))
    told = set(re.findall(r"`ray_(farm_\w+?)(?:_total)?`", (ROOT / "docs" / "metrics.md").read_text()))
    assert made == told


def test_every_page_is_reachable_from_the_readme_or_the_quick_start() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "quickstart.md").read_text()
    lost = [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text]
    assert lost == []


def test_the_architectures_places_exist() -> None:
    """Folders and modules, also those in the picture."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"\b((?:jobs|actors|cluster|farm|tests)/[\w/]+(?:\.py)?)", text))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_decisions_have_numbers_of_their_own() -> None:
    pages = [page.name for page in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    numbers = sorted(int(name[:4]) for name in pages)
    assert numbers == list(range(1, len(pages) + 1)), sorted(pages)
    for name in pages:
        assert (ROOT / "docs" / "decisions" / name).read_text().startswith(f"# {name[:4]}: "), name


def test_the_changelog_counts_the_cells_that_the_table_of_topologies_has() -> None:
    page, changes = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("docs/topology.md", "CHANGELOG.md")
    )
    cells = re.search(r"^(\d+ cells, \d+ of them with gangs)", page, flags=re.MULTILINE)
    assert cells is not None
    told = re.findall(r"\d+ (?:simulated |compared )cells(?:, \d+ of them with gangs)?", changes)
    assert [each.replace("simulated ", "") for each in told] == [cells[1]]
