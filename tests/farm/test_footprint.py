"""What a job's stages need beside their models, by the sizes of its tasks."""

from __future__ import annotations

from typing import Any

import pytest

from farm.doctor.device import check_fit
from farm.footprint import ModelSizes, footprint_of, in_tiles, working_gib
from farm.topology_search import SearchConfig, find_topology
from farm.workload import H200, Film, films, job
from jobs.graph import Stage, build_graph
from jobs.load import load_spec
from jobs.plan import make_plan
from jobs.topology import Machine

SMALL_MODEL = ModelSizes(transformer=3.6, vae=2.3, upsampler=0.5)


def peaks(frames: int = 97, **more: Any) -> dict[Stage, float]:
    document = {
        "version": 1,
        "name": "job",
        "engine": {"name": "fake"},
        "defaults": {"width": 768, "height": 512, "prompt": "a clip"},
        "videos": [{"name": "clip", "chunks": [{"generate": {"num_frames": frames}}]}],
        **more,
    }
    return working_gib(build_graph(make_plan(load_spec(document).spec)).tasks.values())


def test_the_sizes_that_were_measured() -> None:
    """docs/gpu.md: a decode at 2x needs 19.6 GiB with its VAE of 2.3; a pass of 13B at 2x 2.1 GiB."""
    found = peaks(upscale={"steps": 5})
    assert found[Stage.DECODE] == pytest.approx(17.3, rel=0.1)
    assert found[Stage.UPSCALE] >= 2 * 2.1


def test_what_is_smaller_needs_less() -> None:
    large, small = peaks(upscale={"steps": 5}), peaks()
    assert small[Stage.DECODE] < large[Stage.DECODE] / 3
    assert Stage.UPSCALE not in small
    assert peaks(frames=25)[Stage.SAMPLE] < small[Stage.SAMPLE]
    tiled = peaks(upscale={"steps": 5}, decode={"tiling": {"tile_latents": 6, "overlap_latents": 2}})
    assert tiled[Stage.DECODE] < large[Stage.DECODE] / 2


def test_a_decode_that_does_not_fit_whole_takes_what_there_is_and_is_told() -> None:
    working = peaks(upscale={"steps": 5})
    roomy = footprint_of(SMALL_MODEL, working, 24.0)
    assert roomy.whole_decode_gib == 0.0
    tight = footprint_of(SMALL_MODEL, working, 16.0)
    assert tight.together_gib((Stage.DECODE,)) == pytest.approx(16.0)
    assert in_tiles(tight).startswith("decode needs about 21 GiB, one GPU has 16: it is done in tiles")
    findings = list(check_fit(tight, frozenset(Stage)))
    assert [(each.level, "tiling" in each.fix) for each in findings] == [("warn", True), ("warn", False)]
    some = films(4, Film("film", 2, H200["LTXV 2B"]))
    found = find_topology(job(some), SearchConfig(Machine(2, segment_workers=1), tight))
    assert str(found.winner.topology).startswith("sample+upscale=1,decode=1")


def test_nothing_is_tiled_where_not_even_the_vae_fits() -> None:
    assert footprint_of(SMALL_MODEL, peaks(), 2.0).whole_decode_gib == 0.0
