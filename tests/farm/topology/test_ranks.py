"""What is said of the ranks of a gang before it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.topology.memory import engine_footprint
from farm.topology.ranks import rank_rows
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage, StageTask
from jobs.tasks.topology import SHARED_STAGES, Machine, parse_topology
from tests.farm.topology.test_memory import tasks
from tests.official.files import RELEASES, single_file, write_sparse
from tests.official.ltx2_files import shapes, write_single_file
from tests.official.pixel_vae import DECODER, pixel_shapes, write_pixel_vae

TOPOLOGY = "mono=1x2,sample=2x2@0"


@pytest.fixture
def engine(tmp_path: Path) -> EngineConfig:
    entries = single_file(RELEASES["ltxv-13b-0.9.8-distilled.safetensors"])
    return EngineConfig(checkpoint=str(write_sparse(tmp_path / "model.safetensors", entries)))


def test_each_rank_has_a_row(engine: EngineConfig) -> None:
    """The first one does all that its worker does; the others share passes, and decodes in tiles."""
    topology, some = parse_topology(TOPOLOGY, Machine(4)), tasks(upscale={"steps": 3})
    rows = list(rank_rows(topology, engine, some, "H200"))
    assert [(row.pool, row.rank, row.device) for row in rows] == [
        ("mono=1x2", 0, "H200"),
        ("mono=1x2", 1, "H200"),
        ("sample=2x2@0", 0, "cpu"),
        ("sample=2x2@0", 1, "cpu"),
    ]
    assert all(row.pool in str(topology).split(",") for row in rows)
    footprint = engine_footprint(engine, some, 80.0)
    assert footprint is not None
    assert rows[0].memory_gib == pytest.approx(footprint.together_gib(Stage), abs=0.01)
    assert rows[1].stages == ("sample", "upscale")
    assert rows[1].memory_gib == pytest.approx(footprint.together_gib(SHARED_STAGES), abs=0.01)
    assert (
        rows[1].said == f"   rank 1 of mono=1x2: H200, {rows[1].memory_gib:.1f} GiB, shares sample, upscale"
    )
    assert rows[2].memory_gib is None
    tiled = tasks(upscale={"steps": 3}, decode={"tiling": {"tile_latents": 8, "overlap_latents": 2}})
    assert list(rank_rows(topology, engine, tiled, "H200"))[1].stages == ("sample", "upscale", "decode")


def decodes(engine: EngineConfig, some: list[StageTask]) -> bool:
    """Whether the further rank of a gang takes part in decodes."""
    _, other = rank_rows(parse_topology("mono=1x2", Machine(2)), engine, some, "H200")
    return "decode" in other.stages


def test_a_window_of_one_tile_is_decoded_by_the_first_rank(engine: EngineConfig) -> None:
    """97 frames are 13 latents."""
    assert decodes(engine, tasks(decode={"tiling": {"tile_latents": 8, "overlap_latents": 2}}))
    assert not decodes(engine, tasks(decode={"tiling": {"tile_latents": 40, "overlap_latents": 2}}))


def test_ranks_share_the_diffusion_decoder_wherever_it_lies(tmp_path: Path) -> None:
    """In a file of its own, in a folder's `vae`, or as the checkpoint's own decoder."""
    model = str(write_single_file(tmp_path / "model.safetensors", "2.5"))
    (tmp_path / "repository" / "vae").mkdir(parents=True)
    for vae in (tmp_path / "pixels.safetensors", tmp_path / "repository" / "vae" / "model.safetensors"):
        write_pixel_vae(vae)
    whole = {key: shape for key, shape in shapes("2.5").items() if not key.startswith("vae.")}
    whole |= {f"vae.{key}": shape for key, shape in pixel_shapes(DECODER, "full").items()}
    own = write_sparse(tmp_path / "own.safetensors", {key: ("BF16", shape) for key, shape in whole.items()})
    assert not decodes(EngineConfig(checkpoint=model), tasks())
    assert decodes(EngineConfig(checkpoint=model, vae=str(tmp_path / "pixels.safetensors")), tasks())
    assert decodes(EngineConfig(checkpoint=model, vae=str(tmp_path / "repository")), tasks())
    assert decodes(EngineConfig(checkpoint=str(own)), tasks())


def test_ranks_need_what_they_gather_of_a_decode(tmp_path: Path) -> None:
    """Of the diffusion decoder 0.375 GiB at 1536x1024, as it is counted tensor by tensor; of tiles frames."""
    model = str(write_single_file(tmp_path / "model.safetensors", "2.5"))
    pixels = EngineConfig(checkpoint=model, vae=str(write_pixel_vae(tmp_path / "pixels.safetensors")))
    plain = EngineConfig(checkpoint=model)
    tiles = {"tiling": {"tile_latents": 8, "overlap_latents": 2}}
    topology = parse_topology("mono=1x2", Machine(2))
    for engine, decode, more in ((pixels, {}, 0.375), (plain, tiles, 0.422), (plain, {}, 0.0)):
        some = tasks(upscale={"steps": 3}, decode=decode)
        footprint = engine_footprint(engine, some, 1000.0)
        assert footprint is not None
        first = next(rank_rows(topology, engine, some, "H200"))
        assert first.memory_gib == pytest.approx(footprint.together_gib(Stage) + more, abs=0.002)
        one, two = (footprint.exchanging_gib((Stage.DECODE,), ranks) for ranks in (1, 2))
        assert two - one == pytest.approx(more, abs=0.002)


def test_a_decode_that_does_not_fit_whole_is_one_in_tiles(engine: EngineConfig) -> None:
    """As the search has it, and the ladder does it: ranks share the tiles."""
    topology, some = parse_topology("mono=1x2", Machine(2)), tasks(upscale={"steps": 3})
    whole = engine_footprint(engine, some, 80.0)
    assert whole is not None
    device_gib = whole.together_gib((Stage.DECODE,)) - 1.0
    tiled = engine_footprint(engine, some, device_gib)
    assert tiled is not None
    assert tiled.whole_decode_gib
    decodes_alone = [task for task in some if task.stage is Stage.DECODE]
    first, other = rank_rows(topology, engine, decodes_alone, "H200", device_gib)
    assert first.memory_gib is not None
    assert first.memory_gib < device_gib
    assert other.stages == ("decode",)
    _, other = rank_rows(topology, engine, decodes_alone, "H200", 80.0)
    assert other.stages == ()


def test_without_gangs_there_is_none(engine: EngineConfig) -> None:
    assert not list(rank_rows(parse_topology("mono=2", Machine(2)), engine, tasks(), "H200"))
