"""Getting the nodes into a ComfyUI: by `farm nodes install`, and by cloning the repository there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.nodes import install
from farm.nodes.install import ENTRY, install_nodes
from jobs.errors import CannotRun, UsageError

ROOT = Path(install.__file__).resolve().parents[2]
NOT_INSTALLED = (
    "import sys; "
    "sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in getattr(f, '__name__', '')]"
)
"""ComfyUI's Python does not have this project installed, the tests' may."""
FOREIGN = ("pydantic", "ray", "fsspec", "ffmpeg", "imageio_ffmpeg", "rich", "typer", "diffusers", "fcntl")

BLOCKING = """
{not_installed}
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    root = tmp_path / "ComfyUI"
    (root / "comfy").mkdir(parents=True)
    (root / "custom_nodes").mkdir()
    (root / "main.py").touch()
    return root


def load_pack(folder: Path, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Load a pack in a fresh interpreter as ComfyUI does: from its folder, named by the folder's path."""
    script = f"""
{BLOCKING.format(not_installed=NOT_INSTALLED, blocked=blocked)}
import importlib.util
spec = importlib.util.spec_from_file_location({str(folder)!r}, {str(folder / "__init__.py")!r})
module = importlib.util.module_from_spec(spec)
sys.modules[{str(folder)!r}] = module
spec.loader.exec_module(module)
print(sorted(module.NODE_CLASS_MAPPINGS))
print("torch" in sys.modules)
"""
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=folder.parent, check=False
    )


def test_install_links_the_checkout_and_can_be_repeated(comfyui: Path) -> None:
    for _ in range(2):
        done = install_nodes(comfyui)
        assert done.nodes == comfyui / "custom_nodes" / "ltx-farm"
        assert done.nodes.resolve() == ROOT
        assert done.models == ()


def test_a_linked_or_cloned_pack_loads_with_what_comfyui_has(comfyui: Path) -> None:
    done = install_nodes(comfyui)
    loaded = load_pack(done.nodes, blocked=FOREIGN)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.splitlines() == ["['RSLTXVExtend', 'RSLTXVGenerate', 'RSLTXVTinyPrompt']", "False"]


def test_running_a_node_needs_no_more(comfyui: Path) -> None:
    """What a node imports when it runs, apart from ComfyUI itself."""
    done = install_nodes(comfyui)
    modules = "import farm.nodes.flow, actors.engines.comfyui.loading.tiny"
    script = BLOCKING.format(not_installed=NOT_INSTALLED, blocked=FOREIGN)
    loaded = subprocess.run(
        [sys.executable, "-c", f"{script}\nsys.path.append({str(done.nodes)!r})\n{modules}"],
        capture_output=True,
        text=True,
        cwd=comfyui,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the packages lie when ltx-farm is installed, not cloned."""
    site = tmp_path / "site-packages"
    site.mkdir()
    for package in install.PACKAGES:
        (site / package).symlink_to(ROOT / package, target_is_directory=True)
    return site


def test_an_installed_package_shows_only_its_own_folders(comfyui: Path, site: Path) -> None:
    pack = comfyui / "custom_nodes" / "ltx-farm"
    install._make_pack(pack, site)
    install._make_pack(pack, site)
    assert sorted(path.name for path in pack.iterdir()) == ["__init__.py", "actors", "farm", "jobs"]
    loaded = load_pack(pack, blocked=FOREIGN)
    assert loaded.returncode == 0, loaded.stderr


def test_a_name_that_is_taken_is_not_overwritten(comfyui: Path) -> None:
    (comfyui / "custom_nodes" / "ltx-farm").mkdir()
    with pytest.raises(CannotRun, match="is taken"):
        install_nodes(comfyui)


def _clone(pack: Path) -> None:
    for package in install.PACKAGES:
        (pack / package).mkdir(parents=True)
    (pack / "__init__.py").write_bytes((ROOT / "__init__.py").read_bytes())


def _foreign_pack(pack: Path) -> None:
    pack.mkdir()
    (pack / "__init__.py").write_bytes("# d\u00e9j\u00e0 l\u00e0".encode("latin-1"))


def _pack_with_a_linked_entry(pack: Path) -> None:
    pack.mkdir()
    (pack / "__init__.py").symlink_to(pack / "gone.py")


def _half_a_clone(pack: Path) -> None:
    (pack / "jobs").mkdir(parents=True)


def _linked_checkout(pack: Path) -> None:
    checkout = pack.with_name("checkout")
    _clone(checkout)
    pack.symlink_to(checkout, target_is_directory=True)


def _file(pack: Path) -> None:
    pack.touch()


@pytest.mark.parametrize(
    "occupy", [_clone, _foreign_pack, _pack_with_a_linked_entry, _half_a_clone, _linked_checkout, _file]
)
def test_a_folder_that_is_not_ours_is_left_as_it_is(
    occupy: Callable[[Path], None], comfyui: Path, site: Path
) -> None:
    nodes = comfyui / "custom_nodes"
    occupy(nodes / "ltx-farm")
    before = everything_in(nodes)
    with pytest.raises(CannotRun, match="ltx-farm is taken: move it away"):
        install._make_pack(nodes / "ltx-farm", site)
    assert everything_in(nodes) == before


def everything_in(folder: Path) -> dict[Path, bytes | Path | None]:
    """Contents of files, targets of links, None for folders."""
    return {
        path: path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_the_tiny_model_is_written_through_no_link_and_over_no_file(comfyui: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    place = comfyui / "models" / "latent_upscale_models" / install.TINY_UPSCALER_NAME
    place.parent.mkdir(parents=True)
    place.symlink_to(canary)
    for _ in range(2):
        install_nodes(comfyui, tiny_model=True)
        assert canary.read_text() == "alive"
        assert not place.is_symlink()
        assert place.read_bytes() == install.tiny_upsampler()
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    place.write_text("mine")
    with pytest.raises(CannotRun, match="is taken"):
        install_nodes(comfyui, tiny_model=True)
    assert place.read_text() == "mine"


def test_a_folder_that_is_no_comfyui_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--comfyui") as refused:
        install_nodes(tmp_path)
    assert refused.value.exit_code == 2
    assert "main.py" in refused.value.problems[0].remedy


def test_a_pack_that_owns_our_names_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    script = (
        f"{NOT_INSTALLED}; sys.path.insert(0, {str(tmp_path)!r}); import jobs, runpy; "
        f"runpy.run_path({str(ROOT / '__init__.py')!r})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=False
    )
    assert loaded.returncode != 0
    assert "another custom node pack owns" in loaded.stderr
    assert str(tmp_path / "jobs") in loaded.stderr


def test_both_entries_load_the_same_mappings() -> None:
    names: dict[str, object] = {"__file__": str(ROOT / "__init__.py"), "__name__": "pack"}
    exec(compile(ENTRY, "entry", "exec"), names)
    spec = importlib.util.spec_from_file_location("ltx_farm_root", ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert names["NODE_CLASS_MAPPINGS"] == module.NODE_CLASS_MAPPINGS
