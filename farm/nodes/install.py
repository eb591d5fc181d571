"""Put the nodes, and on request the bundled tiny model, into a ComfyUI. Needs neither torch nor ComfyUI."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from actors.models import TINY_CHECKPOINT
from actors.payload import Payload, pack, unpack
from jobs.errors import CannotRun, Problem, UsageError

PACK_NAME = "ltx-farm"
PACKAGES = ("farm", "actors", "jobs")
TINY_NAME = "ltx-farm-tiny.safetensors"
TINY_UPSCALER_NAME = "ltx-farm-tiny-upscaler.safetensors"
UPSAMPLER_PREFIX = "latent_upsampler."

ENTRY = '''"""ltx-farm as ComfyUI custom nodes."""

import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parent
if str(_HOME) not in sys.path:
    sys.path.append(str(_HOME))

from farm.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
'''
"""`__init__.py` of the folder that is made where ltx-farm is an installed package, not a checkout."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What was put where."""

    nodes: Path
    models: tuple[Path, ...] = ()


def install_nodes(comfyui: Path, tiny_model: bool = False) -> Installed:
    """Link the node pack into `comfyui/custom_nodes`; with `tiny_model` its files into `comfyui/models`.

    Doing it again changes nothing. Raises UsageError when the folder is no ComfyUI, CannotRun
    when a name is taken.
    """
    root = comfyui.expanduser().resolve()
    if not (root / "main.py").is_file() or not (root / "comfy").is_dir():
        rule, remedy = "a folder that holds ComfyUI", "give the folder that contains its main.py"
        raise UsageError([Problem("--comfyui", str(root), rule, remedy)])
    nodes = root / "custom_nodes" / PACK_NAME
    nodes.parent.mkdir(exist_ok=True)
    home = Path(__file__).resolve().parents[2]
    if (home / "__init__.py").is_file():
        _link(nodes, home)
    else:
        _make_pack(nodes, home)
    return Installed(nodes, _install_tiny(root / "models") if tiny_model else ())


def _make_pack(pack_folder: Path, home: Path) -> None:
    """A folder that shows ComfyUI our packages and nothing else of the site-packages they lie in.

    Raises CannotRun, and changes nothing, when the folder was not made here. ComfyUI loads it only once
    `__init__.py` is there, which comes last.
    """
    if _is_foreign(pack_folder):
        raise _taken(pack_folder)
    pack_folder.mkdir(exist_ok=True)
    for package in PACKAGES:
        _link(pack_folder / package, home / package)
    (pack_folder / "__init__.py").write_text(ENTRY)


def _is_foreign(pack_folder: Path) -> bool:
    """A link, a file, or a folder with another `__init__.py` or with packages that are no links."""
    entry = pack_folder / "__init__.py"
    if pack_folder.is_symlink() or pack_folder.is_file() or entry.is_symlink():
        return True
    if entry.exists() and not (entry.is_file() and entry.read_bytes() == ENTRY.encode()):
        return True
    return any(_is_taken(pack_folder / package) for package in PACKAGES)


def _install_tiny(models: Path) -> tuple[Path, ...]:
    """The checkpoint as it is; its upsampler once more alone, since core reads one from a file of its own."""
    checkpoint = models / "checkpoints" / TINY_NAME
    upscaler = models / "latent_upscale_models" / TINY_UPSCALER_NAME
    for path in (checkpoint, upscaler):
        path.parent.mkdir(parents=True, exist_ok=True)
    _link(checkpoint, TINY_CHECKPOINT)
    _write_own(upscaler, tiny_upsampler())
    return checkpoint, upscaler


def _write_own(path: Path, data: bytes) -> None:
    """A file of ours; a link is replaced and not followed. Raises CannotRun where the user's file stands."""
    if not path.is_symlink() and path.exists():
        if path.is_file() and path.read_bytes() == data:
            return
        raise _taken(path)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with fresh.open("xb") as file:
        file.write(data)
    fresh.replace(path)


def tiny_upsampler() -> bytes:
    """The bundled model's latent upsampler as a file of its own."""
    whole = unpack(TINY_CHECKPOINT.read_bytes())
    config = json.loads(whole.meta["config"])["latent_upsampler"]
    own = {name: array for name, array in whole.arrays.items() if name.startswith(UPSAMPLER_PREFIX)}
    bf16 = ",".join(sorted(name.removeprefix(UPSAMPLER_PREFIX) for name in own if name in whole.bf16_names))
    arrays = {name.removeprefix(UPSAMPLER_PREFIX): array for name, array in own.items()}
    return bytes(pack(Payload(arrays, {"config": json.dumps(config), **({"bf16": bf16} if bf16 else {})})))


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.resolve() == target.resolve():
        return
    if _is_taken(link):
        raise _taken(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target, target_is_directory=target.is_dir())


def _is_taken(link: Path) -> bool:
    """A link may be replaced, anything else is the user's."""
    return link.exists() and not link.is_symlink()


def _taken(path: Path) -> CannotRun:
    return CannotRun(f"{path} is taken: move it away, then install again.")
