"""`farm nodes`: the ComfyUI nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_text

ComfyUI = Annotated[Path, typer.Option("--comfyui", help="Folder of ComfyUI, the one with its main.py.")]
TinyModel = Annotated[
    bool, typer.Option("--tiny-model", help="Also put the bundled tiny model into ComfyUI's model folders.")
]


def install(comfyui: ComfyUI, tiny_model: TinyModel = False, output: Output = OutputFormat.TEXT) -> int:
    """Link the nodes into a ComfyUI's custom_nodes."""
    from farm.cli.results import InstallResult
    from farm.nodes.install import install_nodes

    done = install_nodes(comfyui, tiny_model)
    if output is OutputFormat.JSON:
        emit_json(InstallResult(str(done.nodes), tuple(map(str, done.models))))
        return 0
    for path in (done.nodes, *done.models):
        emit_text(f"installed {path}")
    emit_text("Restart ComfyUI; the nodes are under rs-nodes.")
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    nodes = typer.Typer(help="The ComfyUI nodes.", no_args_is_help=True)
    nodes.command("install")(install)
    app.add_typer(nodes, name="nodes")

    @nodes.callback()
    def group() -> None:
        """The ComfyUI nodes."""
