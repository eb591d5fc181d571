"""Files that a worker which encodes prompts reads, with random weights.

    python -m benchmarks.gpu.text.files ltx2.3 DIR cuda

The text encoder lies in `text_encoder/` and `tokenizer/` as published. The model's file is that of a film but
for its transformer, of which two blocks are there, since a prompt meets none; LTX-2's has the projections and
connectors, which LTX-2.5 publishes in two files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.text.encoders import ENCODERS, Encoder
from benchmarks.gpu.text.tokenizer import write_tokenizer
from benchmarks.gpu.weights import PUBLISHED, Layout, Shapes, layout, make_room, write

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

SHARD_BYTES = 5_000_000_000
"""What hub repositories cut weights into."""
BLOCKS = 2


def model_layout(size: str, real: bool) -> Layout:
    """The file of transformer, VAEs and what makes a context of the encoder's states."""
    if size not in PUBLISHED:
        made = layout(size if real else "rehearsal")
        return Layout({k: v for k, v in made.shapes.items() if _kept(k)}, _fewer(made.configs))
    from tests.official import ltx2_files

    version, width = PUBLISHED[size][0], "full" if real else "narrow"
    shapes = {key: shape for key, shape in ltx2_files.shapes(version, width).items() if _kept(key)}
    configs = json.loads(ltx2_files.metadata(version, width)["config"])
    return Layout(shapes, _fewer(configs))


def _kept(name: str) -> bool:
    start = "model.diffusion_model.transformer_blocks."
    return not name.startswith(start) or int(name[len(start) :].partition(".")[0]) < BLOCKS


def _fewer(configs: dict[str, Any]) -> dict[str, Any]:
    return {**configs, "transformer": configs["transformer"] | {"num_layers": BLOCKS}}


def write_encoder(folder: Path, encoder: Encoder, real: bool, device: str) -> None:
    """Weights in shards with their index, config and tokenizer below `folder`."""
    weights = folder / "text_encoder"
    weights.mkdir(parents=True)
    shards = shards_of(encoder, real)
    index: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write(weights / name, shard, device)
        index |= dict.fromkeys(shard.shapes, name)
    total = sum(shard.nbytes for shard in shards)
    whole = {"metadata": {"total_size": total}, "weight_map": index}
    (weights / "model.safetensors.index.json").write_text(json.dumps(whole))
    (weights / "config.json").write_text(json.dumps(encoder.config(real), indent=2))
    write_tokenizer(folder / "tokenizer", encoder, real)


def shards_of(encoder: Encoder, real: bool) -> list[Layout]:
    """Its weights, cut as published."""
    return list(_cut(Layout(encoder.shapes(real), {}, encoder.dtype)))


def _cut(made: Layout) -> Iterator[Layout]:
    held: Shapes = {}
    for name, shape in made.shapes.items():
        more = {**held, name: shape}
        if held and replace(made, shapes=more).nbytes > SHARD_BYTES:
            yield replace(made, shapes=held)
            more = {name: shape}
        held = more
    yield replace(made, shapes=held)


def make(size: str, folder: Path, real: bool, device: str) -> None:
    """Everything of `size` below `folder`, in this process."""
    write_encoder(folder, ENCODERS[size], real, device)
    write(folder / "model.safetensors", model_layout(size, real), device)


@contextmanager
def written(bench: Bench, size: str) -> Iterator[Path]:
    """The folder with the files of `size`, which goes afterwards: it is as large as a checkpoint. They are
    written in a process of its own, which leaves nothing on the device."""
    make_room(bench.scratch / "models", size)
    folder = bench.folder("text")
    words = [sys.executable, "-m", "benchmarks.gpu.text.files", size, str(folder), bench.device, bench.size]
    try:
        subprocess.run(words, check=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), sys.argv[4:] != ["rehearsal"], sys.argv[3])
