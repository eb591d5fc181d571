"""What a job's stages need beside their models, by the sizes of its tasks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from farm.doctor.device import check_fit
from farm.simulator.workload import H200, SimulatedFilm, films, job
from farm.topology.memory import (
    DIFFUSION_DECODE,
    LTX2_DECODE,
    RUNTIME_GIB,
    Working,
    engine_footprint,
    footprint_of,
    working_for,
)
from farm.topology.memory_said import in_tiles
from farm.topology.model_sizes import ModelSizes
from farm.topology.search import SearchConfig, find_topology
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig, EngineName
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask
from jobs.tasks.topology import Machine
from tests.official.files import RELEASES, single_file, write_sparse
from tests.official.ltx2_files import shapes as ltx2_shapes
from tests.official.ltx2_files import write_single_file
from tests.official.pixel_vae import DECODER, pixel_shapes, write_pixel_vae

SMALL_MODEL = ModelSizes(transformer=3.6, vae=2.3, upsampler=0.5)
FAKE, COMFYUI = EngineConfig(name="fake"), EngineConfig(name="comfyui")
TWICE = {"steps": 5}


def tasks(frames: int = 97, **more: Any) -> list[StageTask]:
    document = {
        "version": 1,
        "name": "job",
        "engine": {"name": "fake"},
        "defaults": {"width": 768, "height": 512, "prompt": "a clip", "cfg": 3.0},
        "videos": [{"name": "clip", "chunks": [{"generate": {"num_frames": frames}}]}],
        **more,
    }
    return list(build_graph(make_plan(load_spec(document).spec)).tasks.values())


def peaks(engine: EngineConfig = FAKE, **job: Any) -> Working:
    return working_for(tasks(**job), engine)


def test_the_sizes_that_were_measured() -> None:
    """docs/gpu.md: a decode at 2x needs 19.6 GiB with its VAE of 2.3; a pass of 13B at 2x 2.1 GiB."""
    found = peaks(upscale=TWICE).gib
    assert found[Stage.DECODE] - RUNTIME_GIB == pytest.approx(17.3, rel=0.05)
    assert found[Stage.UPSCALE] - RUNTIME_GIB == pytest.approx(2 * 2.1, rel=0.05)
    assert found[Stage.UPSCALE] >= 2 * 2.1


def test_the_page_of_models_has_what_decodes_are_reckoned_with() -> None:
    page = " ".join((Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8").split())
    whole = peaks(upscale=TWICE).gib[Stage.DECODE] - RUNTIME_GIB
    found = re.search(r"takes ([\d.]+) GiB more \(([\d.]+) with LTX-2\)", page)
    diffusion = re.search(r"1\.32 of the memory of LTX-Video's: ([\d.]+) GiB", page)
    assert found is not None
    assert diffusion is not None
    stated = [float(gib) for gib in (*found.groups(), diffusion[1])]
    reckoned = [share * whole for share in (1.0, LTX2_DECODE, DIFFUSION_DECODE)]
    assert stated == pytest.approx(reckoned, rel=0.015)


def test_what_is_smaller_needs_less() -> None:
    large, small = peaks(upscale=TWICE).gib, peaks().gib
    assert small[Stage.DECODE] < large[Stage.DECODE] / 3
    assert Stage.UPSCALE not in small
    assert peaks(frames=25).gib[Stage.SAMPLE] < small[Stage.SAMPLE]
    tiled = peaks(upscale=TWICE, decode={"tiling": {"tile_latents": 6, "overlap_latents": 2}}).gib
    assert tiled[Stage.DECODE] < large[Stage.DECODE] / 2


@pytest.mark.parametrize("name", ["comfyui", "diffusers"])
def test_a_diffusion_decoder_takes_more(name: str, tmp_path: Path) -> None:
    """LTX-2.5's second video VAE, known by its header."""
    entries = {"decoder.conv_in_x_t.weight": ("BF16", (256, 48))}
    path = write_sparse(tmp_path / "vae.safetensors", entries)
    plain = peaks(upscale=TWICE).gib
    found = peaks(EngineConfig.model_validate({"name": name, "vae": str(path)}), upscale=TWICE).gib
    assert found[Stage.DECODE] - RUNTIME_GIB == pytest.approx(
        DIFFUSION_DECODE * (plain[Stage.DECODE] - RUNTIME_GIB)
    )


def test_passes_in_one_batch_take_twice_the_room() -> None:
    batched, single = (
        peaks(upscale=TWICE).gib[Stage.UPSCALE],
        peaks(COMFYUI, upscale=TWICE).gib[Stage.UPSCALE],
    )
    assert batched - RUNTIME_GIB == pytest.approx(2 * (single - RUNTIME_GIB))
    unguided = peaks(upscale={"steps": 5, "cfg": 1.0}).gib[Stage.UPSCALE]
    assert unguided == pytest.approx(single)


@pytest.mark.parametrize("device_gib", [12.5, 16.0])
def test_a_decode_that_does_not_fit_whole_counts_in_tiles_and_is_told(device_gib: float) -> None:
    tight = footprint_of(SMALL_MODEL, peaks(upscale=TWICE), device_gib)
    assert tight.together_gib((Stage.DECODE,)) == pytest.approx(11.0, abs=0.1)
    assert "decode needs about 21 GiB" in in_tiles(tight)
    tiles = next(iter(check_fit(tight, frozenset(Stage))))
    assert (tiles.level, "tiling" in tiles.fix) == ("warn", True)
    some = films(4, SimulatedFilm("film", 2, H200["LTXV 2B"]))
    found = find_topology(job(some), SearchConfig(Machine(2, segment_workers=1), tight))
    assert found.winner.topology.gpus == 2


def test_a_decode_whose_tiles_do_not_fit_is_refused_and_one_that_fits_is_whole() -> None:
    small = footprint_of(SMALL_MODEL, peaks(upscale=TWICE), 8.0)
    assert small.whole_decode_gib == 0.0
    assert [finding.level for finding in check_fit(small, frozenset({Stage.DECODE}))] == ["fail"]
    assert footprint_of(SMALL_MODEL, peaks(upscale=TWICE), 24.0).whole_decode_gib == 0.0


def test_of_a_snapshot_only_the_text_encoder_is_loaded(tmp_path: Path) -> None:
    """Sparse files: sizes without contents."""
    for name, gib in (("text_encoder/model.safetensors", 2), ("transformer/model.safetensors", 20)):
        file = tmp_path / "snapshot" / name
        file.parent.mkdir(parents=True)
        with file.open("wb") as made:
            made.truncate(gib * 2**30)
    engine = EngineConfig(
        name="diffusers", checkpoint=str(tmp_path / "snapshot"), text_encoder=str(tmp_path / "snapshot")
    )
    footprint = engine_footprint(engine, tasks(), 80.0)
    assert footprint is not None
    assert footprint.weights_gib[Stage.ENCODE]["text encoder"] == pytest.approx(2.0)


@pytest.mark.parametrize("stored", ["BF16", "F8_E4M3"])
def test_a_transformer_in_fp8_takes_half_of_16_bits(tmp_path: Path, stored: str) -> None:
    entries = single_file(RELEASES["ltxv-13b-0.9.8-distilled.safetensors"], stored)
    path = write_sparse(tmp_path / "model.safetensors", entries)
    needs = [
        engine_footprint(EngineConfig(checkpoint=str(path), dtype=dtype), tasks(), 80.0)
        for dtype in ("bfloat16", "fp8")
    ]
    plain, fp8 = (each.weights_gib[Stage.SAMPLE]["transformer"] for each in needs if each is not None)
    assert fp8 == pytest.approx(0.51 * plain, abs=0.1)


@pytest.mark.parametrize(("engine", "transformer_gib"), [("diffusers", 24.3), ("comfyui", 12.1)])
def test_a_file_of_fewer_bits_takes_what_the_engine_makes_of_it(
    tmp_path: Path, engine: EngineName, transformer_gib: float
) -> None:
    """Core computes from fp8; the diffusers engine scales it back when it loads."""
    entries = single_file(RELEASES["ltxv-13b-0.9.8-distilled.safetensors"], "F8_E4M3")
    path = write_sparse(tmp_path / "fp8.safetensors", entries)
    footprint = engine_footprint(EngineConfig(name=engine, checkpoint=str(path)), tasks(), 80.0)
    assert footprint is not None
    assert footprint.weights_gib[Stage.SAMPLE]["transformer"] == pytest.approx(transformer_gib, abs=0.1)


@pytest.mark.parametrize(
    ("name", "size", "recorded"),
    [("diffusers", (768, 512), True), ("diffusers", (1536, 1024), False), ("comfyui", (768, 512), False)],
)
def test_recorded_forwards_stay_with_the_worker(
    name: str, size: tuple[int, int], recorded: bool, tmp_path: Path
) -> None:
    """Those of a sequence that is short for a GPU, beside a decode, too."""
    engine = EngineConfig.model_validate(
        {"name": name, "checkpoint": str(write_single_file(tmp_path / "m.safetensors", "2.3"))}
    )
    clips = {"width": size[0], "height": size[1], "prompt": "a clip"}
    footprint = engine_footprint(engine, tasks(defaults=clips), 141.0)
    assert footprint is not None
    held = dict(footprint.weights_gib[Stage.SAMPLE])
    forward_gib = 0.55 if recorded else 0.0
    assert held.pop("recorded forwards", 0.0) == pytest.approx(forward_gib, abs=0.01)
    assert footprint.together_gib((Stage.SAMPLE, Stage.DECODE)) == pytest.approx(
        sum({**held, **footprint.weights_gib[Stage.DECODE]}.values())
        + forward_gib
        + footprint.working_gib[Stage.DECODE],
        abs=0.01,
    )


def test_sound_models_of_a_file_of_their_own_count(tmp_path: Path) -> None:
    whole = ltx2_shapes("2.3")
    sound = {name: shape for name, shape in whole.items() if name.startswith(("audio_vae.", "vocoder."))}
    rest = {name: shape for name, shape in whole.items() if name not in sound}
    paths = {
        name: str(write_sparse(tmp_path / f"{name}.safetensors", {n: ("BF16", s) for n, s in part.items()}))
        for name, part in (("whole", whole), ("rest", rest), ("sound", sound))
    }
    held = []
    for engine in (
        {"checkpoint": paths["whole"]},
        {"checkpoint": paths["rest"], "audio_vae": paths["sound"]},
    ):
        footprint = engine_footprint(EngineConfig.model_validate(engine), tasks(), 141.0)
        assert footprint is not None
        held.append(footprint.weights_gib[Stage.SAMPLE])
    assert held[0]["sound"] == held[1]["sound"] > 0.4
    assert held[0]["transformer"] == pytest.approx(held[1]["transformer"], abs=0.01)


def weights_of(engine: dict[str, Any], stage: Stage) -> dict[str, float]:
    footprint = engine_footprint(EngineConfig.model_validate(engine), tasks(), 1000.0)
    assert footprint is not None
    return dict(footprint.weights_gib[stage])


@pytest.mark.parametrize("name", ["comfyui", "diffusers"])
def test_of_two_decoders_the_one_that_is_used_counts(name: str, tmp_path: Path) -> None:
    """A checkpoint with the VAE of convolutions and, beside it, the diffusion decoder."""
    pixels = pixel_shapes(DECODER, "full")
    whole = ltx2_shapes("2.5") | {f"vae_diffusion.{key}": shape for key, shape in pixels.items()}
    both = write_sparse(tmp_path / "both.safetensors", {key: ("BF16", each) for key, each in whole.items()})
    alone = write_single_file(tmp_path / "one.safetensors", "2.5")
    vae = write_pixel_vae(tmp_path / "pixels.safetensors")
    for stage in (Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE):
        one, two = (weights_of({"name": name, "checkpoint": str(path)}, stage) for path in (alone, both))
        assert one == pytest.approx(two)
        named = weights_of({"name": name, "checkpoint": str(both), "vae": str(vae)}, stage)
        assert {**named, "vae": 0} == pytest.approx({**one, "vae": 0})
        assert named.get("vae", 1.371) == pytest.approx(1.371, abs=0.001)


def test_a_checkpoint_whose_own_decoder_is_a_diffusion_model_takes_more(tmp_path: Path) -> None:
    whole = {key: shape for key, shape in ltx2_shapes("2.5").items() if not key.startswith("vae.")}
    whole |= {f"vae.{key}": shape for key, shape in pixel_shapes(DECODER, "full").items()}
    path = write_sparse(tmp_path / "m.safetensors", {key: ("BF16", shape) for key, shape in whole.items()})
    inside = peaks(EngineConfig(checkpoint=str(path)), upscale=TWICE).gib
    vae = str(write_pixel_vae(tmp_path / "pixels.safetensors"))
    named = peaks(EngineConfig(checkpoint=str(path), vae=vae), upscale=TWICE).gib
    assert inside[Stage.DECODE] == named[Stage.DECODE]
    assert weights_of({"checkpoint": str(path)}, Stage.DECODE)["vae"] == pytest.approx(1.371, abs=0.001)


def test_a_decoder_that_is_alone_is_loaded_with_the_encoder_beside_it(tmp_path: Path) -> None:
    model = write_single_file(tmp_path / "m.safetensors", "2.5")
    parts = {"vae": ("encoder.a", "decoder.b"), "diffusion_decoder": ("decoder.conv_in_x_t.weight",)}
    for folder, names in parts.items():
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "diffusion_pytorch_model.safetensors"
        write_sparse(path, dict.fromkeys(names, ("BF16", (2**14, 2**14))))
    kind = '{"_class_name": "LTX2VideoDiffusionDecoderModel"}'
    (tmp_path / "diffusion_decoder" / "config.json").write_text(kind)
    engine = {"checkpoint": str(model), "vae": str(tmp_path / "diffusion_decoder")}
    assert weights_of(engine, Stage.DECODE)["vae"] == pytest.approx(1.0, abs=0.01)


def test_what_makes_the_context_is_loaded_where_prompts_are_encoded(tmp_path: Path) -> None:
    model = str(write_single_file(tmp_path / "m.safetensors", "2.3"))
    encode, sample = (weights_of({"checkpoint": model}, stage) for stage in (Stage.ENCODE, Stage.SAMPLE))
    assert encode["text encoder"] == pytest.approx(6.0, abs=0.2)
    assert sample["transformer"] == pytest.approx(35.4, abs=0.1)


def test_connectors_count_once_and_are_those_that_are_loaded(tmp_path: Path) -> None:
    """The checkpoint's folder; without one, the file of the transformer and the projections beside the text
    encoder, whose file may be a whole encoder for ComfyUI."""
    whole, other = (str(write_single_file(tmp_path / f"{name}.safetensors", "2.3")) for name in ("a", "b"))
    encoder = tmp_path / "gemma" / "text_encoder"
    encoder.mkdir(parents=True)
    one_gib = ("BF16", (2**14, 2**15))
    write_sparse(encoder / "model.safetensors", {"x": one_gib})
    names = ("model.x", "text_embedding_projection.video_aggregate_embed.weight")
    projection = str(write_sparse(tmp_path / "both.safetensors", dict.fromkeys(names, one_gib)))
    alone = weights_of({"checkpoint": whole}, Stage.ENCODE)["text encoder"]
    both = {"checkpoint": whole, "diffusion_model": other}
    assert weights_of(both, Stage.ENCODE)["text encoder"] == pytest.approx(alone)
    texts = {"text_encoder": [str(encoder.parent), projection]}
    assert weights_of({**both, **texts}, Stage.ENCODE)["text encoder"] == pytest.approx(alone + 2, abs=0.01)
    folder = tmp_path / "model"
    for part in ("transformer", "connectors"):
        (folder / part).mkdir(parents=True)
        write_sparse(folder / part / "model.safetensors", {"x": one_gib})
    named = {"checkpoint": str(folder), "diffusion_model": other, **texts}
    assert weights_of(named, Stage.ENCODE)["text encoder"] == pytest.approx(2.0, abs=0.01)
