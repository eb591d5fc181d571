"""What of a folder goes into a job's package."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from cluster.job_server import upload
from cluster.job_server.upload import package
from jobs.errors import UsageError


def held(folder: Path) -> list[str]:
    return sorted(zipfile.ZipFile(io.BytesIO(package(folder)[1])).namelist())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    names = ("film.yaml", "stills/a.png", "stills/b.tmp", "runs/film/plan.json", "a/runs/kept", ".git/HEAD")
    for name in (*names, "stills/__pycache__/x.pyc", "stills/raw/huge.mov", "note.log"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    (folder / ".gitignore").write_text("/runs/\n*.log\n")
    (folder / "stills" / ".rayignore").write_text("raw/\n*.tmp\n!b.tmp\n")
    return folder


def test_what_the_ignore_files_name_stays_here(project: Path) -> None:
    kept = ["a/runs/kept", "empty/", "film.yaml", "stills/.rayignore", "stills/a.png", "stills/b.tmp"]
    assert held(project) == [".gitignore", *kept]


def test_rays_own_variables_change_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1")
    monkeypatch.setenv("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", "")
    assert {"runs/film/plan.json", "note.log", ".git/HEAD", "stills/__pycache__/x.pyc"} <= set(held(project))


def test_the_name_is_that_of_the_content(project: Path) -> None:
    first, again = package(project)[0], package(project)[0]
    os.utime(project / "film.yaml", (1, 1))
    assert first == again == package(project)[0]
    (project / "film.yaml").write_text("other")
    second = package(project)[0]
    (project / "film.yaml").rename(project / "movie.yaml")
    assert len({first, second, package(project)[0]}) == 3


def test_links_are_followed_and_a_link_back_ends(project: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "clip.mp4").write_text("clip")
    (project / "linked").symlink_to(tmp_path / "shared")
    (project / "stills" / "back").symlink_to(project)
    assert "linked/clip.mp4" in held(project)
    assert not any(name.startswith("stills/back") for name in held(project))


@pytest.mark.parametrize("sizes", [(70_000,), (30_000, 40_000)])
def test_what_is_too_large_is_refused_with_the_way_out(
    sizes: tuple[int, ...], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MOST_BYTES", 2**16)
    for number, size in enumerate(sizes):
        (project / f"{number}.bin").write_bytes(os.urandom(size))
    with pytest.raises(UsageError, match=r"--working-dir: .*(\n.*)*\.rayignore"):
        package(project)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder to upload"):
        package(tmp_path / "nowhere")
