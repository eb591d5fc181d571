"""Reduced files in the published layouts, and Lightricks' code and the farm on each of them.

Everything here needs the environment of `make test-reference`: elsewhere the tests are skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parent / "sides"))

from fidelity import PAGE, Measured, missing_rows, write_page


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-fidelity", action="store_true", help=f"write what was measured into {PAGE}")


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest) -> Iterator[Measured]:
    """Where tests note by how much the farm differs; at the end the page is written, or held against it."""
    found = Measured()
    yield found
    if request.config.getoption("--write-fidelity", default=False):
        write_page(found)
    else:
        assert missing_rows(found) == [], "run: make fidelity"


@pytest.fixture(scope="session")
def words() -> tuple[Any, Any]:
    """Positive and negative: embeddings `[1, 20, 64]` of which 13 and 4 count."""
    return _words(64)


def _words(width: int) -> tuple[Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(1)

    def prompt(count: int) -> Any:
        mask = (torch.arange(20) < count).float()[None]
        return torch.randn(1, 20, width, generator=generator), mask

    return prompt(13), prompt(4)


@pytest.fixture(scope="session")
def upsampler_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ltx_video", reason="needs the environment of `make test-reference`")
    from reduced_files import write_upsampler

    return write_upsampler(tmp_path_factory.mktemp("upsampler") / "spatial.safetensors")


@pytest.fixture(scope="session")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The reduced file of a published model, by name; models of one layout share a file."""
    pytest.importorskip("ltx_video", reason="needs the environment of `make test-reference`")
    from published import PUBLISHED
    from reduced_files import write_file

    folder = tmp_path_factory.mktemp("published")
    written: dict[str, Path] = {}

    def find(name: str) -> Path:
        model = PUBLISHED[name].reduced()
        layout = repr(model.config)
        if layout not in written:
            written[layout] = write_file(model, folder / f"{name}.safetensors")
        return written[layout]

    return find


@pytest.fixture(scope="session")
def sides(
    file_of: Callable[[str], Path], upsampler_file: Path, words: tuple[Any, Any]
) -> Callable[[str], tuple[Any, Any]]:
    """Lightricks' code and the farm's engine on the same file, each loaded by its own loader."""
    from farm_side import DiffusersFarm
    from lightricks import Lightricks

    loaded: dict[Path, tuple[Any, Any]] = {}

    def load(name: str) -> tuple[Any, Any]:
        path = file_of(name)
        if path not in loaded:
            reference = Lightricks.load(path, upsampler_file)
            loaded[path] = reference, DiffusersFarm.load(path, *words, upscale_model=str(upsampler_file))
        return loaded[path]

    return load


@dataclass(frozen=True)
class Bare:
    """A 0.9.5 file without metadata, Lightricks' code on its twin that has some, and prompts for both."""

    path: Path
    reference: Any
    words: tuple[Any, Any]


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, upsampler_file: Path) -> Bare:
    from lightricks import Lightricks
    from published import PUBLISHED
    from reduced_files import write_file

    folder, model = tmp_path_factory.mktemp("bare"), PUBLISHED["2b-0.9.5"].reduced(head=8, caption=4096)
    reference = Lightricks.load(write_file(model, folder / "told.safetensors"), upsampler_file)
    path = write_file(model, folder / "bare.safetensors", metadata=False)
    return Bare(path, reference, _words(4096))
