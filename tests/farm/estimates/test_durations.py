"""Expected durations: proportions before anything was measured, ratios after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.estimates.durations import Durations, Hardware, TaskTimes, keep_durations, read_durations
from farm.estimates.encoding import encoding_share
from farm.estimates.known import expected_s
from jobs.formats import CODECS, PROFILES
from jobs.frames import ChunkSpan, DecodeWindow, Span
from jobs.planning.params import DecodeParams, EncodeText, PassParams, SegmentParams
from jobs.planning.retakes.params import ShowSource
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.engine import EngineConfig, FakeConfig
from jobs.spec.framing import Framing
from jobs.spec.run import Run
from jobs.tasks.task import Stage, StageTask

ENGINE = EngineConfig(name="diffusers")
WHOLE = DecodeWindow(Span(0, 13), Span(0, 13), Span(0, 97))
CPU, GPU = Hardware(ENGINE, "cpu"), Hardware(ENGINE, "NVIDIA H200")


def sampling(steps: int = 20, cfg: float = 3.0) -> Sampling:
    return Sampling(
        steps=steps,
        cfg=cfg,
        sampler="euler",
        sigmas=None,
        guider=PlannedGuider("cfg", ()),
        max_shift=2.05,
        base_shift=0.95,
    )


def sample(width: int = 768, height: int = 512, **more: Any) -> StageTask:
    params = PassParams(
        width=width,
        height=height,
        span=ChunkSpan(0, 13, 13),
        frame_rate=25.0,
        seed=1,
        sampling=sampling(**more),
        guides=(),
        overlap_strength=1.0,
        attention_mode="sdpa",
        ffn_chunks=0,
    )
    return StageTask("v/00000/sample", Stage.SAMPLE, "v", 0, 0, (), params, 1)


def test_fp8_has_times_of_its_own() -> None:
    """It is half as fast again: a job in one type says nothing of one in the other."""
    rounded = Hardware(EngineConfig(name="diffusers", dtype="fp8"), "NVIDIA H200")
    durations = Durations()
    durations.observe(GPU, sample(), TaskTimes(7.0))
    assert durations.estimate(GPU)(sample()) == pytest.approx(7.0)
    assert durations.estimate(rounded)(sample()) != pytest.approx(7.0)


def test_the_constants_are_the_measured_ones() -> None:
    """FACTS: 20 steps of the 2B model at 768x512x97 take 2.0 s on one H200."""
    assert expected_s(ENGINE)(sample()) == pytest.approx(2.0, rel=0.01)


def encoded(codec: str = "h264", preset: str = "medium", profile: str = "") -> SegmentParams:
    return SegmentParams(1920, 1080, 25.0, 8, 80, codec, "", 16, preset, "yuv420p", 1, profile=profile)


def segment(width: int, height: int, frames: int, framing: Framing | None = None) -> StageTask:
    return segment_of(replace(encoded(), width=width, height=height, owned_frames=frames, framing=framing))


def segment_of(params: SegmentParams) -> StageTask:
    return StageTask("v/00000/segment", Stage.SEGMENT, "v", 0, 0, (), params, 1)


def test_a_segment_takes_what_one_core_was_measured_to_take() -> None:
    """docs/benchmarks.md: 6.61 frames of 1080p a second, H.264 medium on one core."""
    assert expected_s(ENGINE)(segment(1920, 1080, 80)) == pytest.approx(80 / 6.61, rel=0.01)


def test_a_segment_takes_what_its_delivered_size_takes() -> None:
    framed = segment(960, 544, 80, Framing(1920, 1080, 1920, 1088, "lanczos"))
    assert expected_s(ENGINE)(framed) == expected_s(ENGINE)(segment(1920, 1080, 80))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast", "faster", "fast", "medium", "slow", "slower"])
def test_every_kind_of_segment_has_a_time(codec: str, preset: str) -> None:
    for profile in PROFILES if codec == "prores" else ("",):
        assert encoding_share(encoded(codec, preset, profile)) > 0.1


def test_a_segment_takes_what_its_codec_takes() -> None:
    """Of 1080p, by `python -m benchmarks.segment_throughput --kinds`."""
    usual, hevc, hq, more = (
        expected_s(ENGINE)(segment_of(params))
        for params in (encoded(), encoded("hevc"), encoded("prores"), encoded("prores", profile="4444"))
    )
    assert 1.5 < hevc / usual < 1.9
    assert 1.3 * usual < hq < more < 2.5 * usual
    assert Durations().estimate(CPU)(segment_of(encoded("hevc"))) == hevc


def test_work_scales_with_size_steps_and_guidance() -> None:
    expected = expected_s(ENGINE)
    assert expected(sample(width=1536)) == pytest.approx(2 * expected(sample()))
    assert expected(sample(steps=10)) == pytest.approx(expected(sample()) / 2)
    assert expected(sample(cfg=1.0)) == pytest.approx(expected(sample()) / 2)


@pytest.mark.parametrize(
    ("cfg", "params", "forwards"),
    [
        (3.0, {"stg_scale": 0.0}, 2),
        (3.0, {}, 3),
        (3.0, {"stg_scale": 0.0, "modality": 3.0}, 3),
        (3.0, {"stg_scale": 1.0, "modality": 3.0}, 4),
        (1.0, {"stg_scale": 0.0, "audio_cfg": 7.0}, 2),
        (3.0, {"levels": (1.0, 0.5), "cfg": (3.0, 1.0), "stg_scale": (1.0, 0.0)}, 2),
    ],
)
def test_work_scales_with_the_forwards_of_a_step(cfg: float, params: dict[str, Any], forwards: int) -> None:
    plain, task = expected_s(ENGINE)(sample(cfg=1.0)), sample(cfg=cfg)
    assert isinstance(task.params, PassParams)
    guided = replace(task.params.sampling, guider=PlannedGuider("stg", tuple(sorted(params.items()))))
    guided_task = replace(task, params=replace(task.params, sampling=guided))
    assert expected_s(ENGINE)(guided_task) == pytest.approx(forwards * plain)


def kept(start: int, path: str = "a.mp4") -> StageTask:
    params = ShowSource(path, 768, 512, 25.0, 0, start, 96, None, 0.0, "crop")
    return StageTask("v/00000/decode", Stage.DECODE, "v", 0, 0, (), params, 1)


def test_of_a_part_that_is_kept_some_seconds_before_it_are_read() -> None:
    expected = expected_s(ENGINE)
    assert expected(kept(0)) == pytest.approx(1.02, rel=0.01)
    assert expected(kept(500)) == pytest.approx(1.275, rel=0.01)
    assert expected(kept(170_000)) == expected(kept(500))
    assert expected(kept(500, "A.MKV")) == expected(kept(500))


def test_of_a_part_in_a_container_without_an_index_all_before_it_is_read() -> None:
    expected = expected_s(ENGINE)
    assert expected(kept(500, "a.ts")) == expected(kept(500))
    assert expected(kept(170_000, "a.ts")) == pytest.approx(1.02 + 170_000 * 0.255 / 500, rel=0.01)


def decode(window: DecodeWindow = WHOLE) -> StageTask:
    return replace(kept(0), params=DecodeParams(768, 512, (Span(0, 13),), window, 1, 25.0))


def test_a_decode_takes_what_its_context_and_its_frames_take_with_sound_or_without() -> None:
    """`examples/more_frames.yaml` on one core: 3.9 s with sound and 11 latents, 4.5 with 14, 2.8 with 10."""
    windows = [DecodeWindow(Span(0, latents), Span(4, 10), Span(25, 73)) for latents in (11, 14, 10)]
    first, second, last = (decode(window) for window in windows)
    assert isinstance(first.params, DecodeParams)
    heard = replace(first, params=replace(first.params, heard=Span(0, 13), temporal=2))
    seconds = Durations().estimate(CPU)
    assert seconds(heard) == seconds(first)
    known = Durations()
    known.observe(CPU, heard, TaskTimes(step_s=3.88))
    assert known.estimate(CPU)(second) == pytest.approx(4.49, rel=0.2)
    assert known.estimate(CPU)(last) == pytest.approx(2.83, rel=0.25)


@pytest.mark.parametrize("engine", [ENGINE, EngineConfig(name="fake", fake=FakeConfig(decode_s=40.0))])
def test_a_part_that_is_kept_is_decoded_by_no_model(engine: EngineConfig) -> None:
    """Neither is what it takes multiplied by what a VAE takes, nor the other way round."""
    place, expected = Hardware(engine, "cpu"), expected_s(ENGINE)(kept(0))
    known = Durations()
    assert known.estimate(place)(kept(0)) == pytest.approx(expected)
    before = known.estimate(place)(decode())
    known.observe(place, kept(0), TaskTimes(3 * expected, read_s=1.0, commit_s=1.0))
    assert known.estimate(place)(decode()) == before
    assert known.commit_s(place)[Stage.DECODE] == 0.0
    assert known.estimate(GPU)(kept(0)) == pytest.approx(3 * expected + 1.0), "as on any other core"
    known.observe(place, decode(), TaskTimes(500.0))
    assert known.estimate(place)(kept(0)) == pytest.approx(3 * expected + 1.0)


def test_a_decode_of_sound_alone_has_times_of_its_own() -> None:
    alone = decode(DecodeWindow(Span(0, 0), Span(0, 13), Span(0, 0)))
    known = Durations()
    before = known.estimate(CPU)(decode())
    assert 0 < known.estimate(CPU)(alone) < 1
    known.observe(CPU, alone, TaskTimes(2.0))
    assert known.estimate(CPU)(alone) == pytest.approx(2.0)
    assert known.estimate(CPU)(decode()) == before


def test_the_fake_engine_takes_what_it_is_told() -> None:
    engine = EngineConfig(name="fake", fake=FakeConfig(sample_s=0.4))
    assert expected_s(engine)(sample()) == 0.4


def test_a_measured_size_is_known_and_others_of_its_stage_follow() -> None:
    known = Durations()
    for _ in range(5):
        known.observe(CPU, sample(), TaskTimes(step_s=30.0))
    assert known.estimate(CPU)(sample()) == pytest.approx(30.0)
    assert known.estimate(CPU)(sample(width=1536)) == pytest.approx(60.0)
    assert known.estimate(GPU)(sample()) == pytest.approx(expected_s(ENGINE)(sample()))
    assert known.knows(CPU, sample())
    assert not known.knows(CPU, sample(width=1536))


def test_a_stage_never_seen_takes_the_ratio_of_its_device() -> None:
    known = Durations()
    known.observe(CPU, sample(), TaskTimes(step_s=15 * expected_s(ENGINE)(sample())))
    text = StageTask("encode/text", Stage.ENCODE, "v", 0, 0, (), EncodeText("a", "b"), 1)
    assert known.estimate(CPU)(text) == pytest.approx(15 * expected_s(ENGINE)(text))


def test_segments_take_the_same_on_any_machine_of_the_farm() -> None:
    known = Durations()
    known.observe(CPU, segment(768, 512, 80), TaskTimes(step_s=3.0))
    assert known.estimate(GPU)(segment(768, 512, 80)) == pytest.approx(3.0)


def test_reading_occupies_the_device_and_writing_does_not() -> None:
    known = Durations()
    known.observe(CPU, sample(), TaskTimes(step_s=2.0, read_s=0.25, commit_s=0.5))
    assert known.estimate(CPU)(sample()) == pytest.approx(2.25)
    assert known.commit_s(CPU)[Stage.SAMPLE] == pytest.approx(0.5)
    assert known.commit_s(CPU)[Stage.DECODE] == 0.0


def test_a_simulation_knows_what_writing_and_messages_cost() -> None:
    known = Durations()
    known.observe(CPU, sample(), TaskTimes(step_s=2.0, commit_s=0.5))
    known.observe_latency(0.008)
    config = known.simulation(CPU, Run())
    assert config.commit_s[Stage.SAMPLE] == pytest.approx(0.5)
    assert config.handoff_s == config.report_s == pytest.approx(0.004)
    assert Durations().simulation(CPU, Run()).handoff_s == 0.0


def test_newer_measurements_count_and_single_ones_do_not_throw_the_mean() -> None:
    known = Durations()
    for _ in range(200):
        known.observe(CPU, sample(), TaskTimes(step_s=1.0))
    known.observe(CPU, sample(), TaskTimes(step_s=11.0))
    assert known.estimate(CPU)(sample()) == pytest.approx(1.2)
    for _ in range(400):
        known.observe(CPU, sample(), TaskTimes(step_s=5.0))
    assert known.estimate(CPU)(sample()) == pytest.approx(5.0, rel=0.01)


def test_they_are_kept_beside_the_runs_and_added_up(tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    assert read_durations(runs).means == {}
    first, second = Durations(), Durations()
    first.observe(CPU, sample(), TaskTimes(step_s=3.0))
    first.observe_latency(0.004)
    keep_durations(runs, first)
    second.observe(GPU, sample(), TaskTimes(step_s=1.0))
    keep_durations(runs, second)
    known = read_durations(runs)
    assert known.estimate(CPU)(sample()) == pytest.approx(3.0)
    assert known.estimate(GPU)(sample()) == pytest.approx(1.0)
    assert known.latency_s == pytest.approx(0.004)


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    known = Durations()
    known.observe(CPU, sample(), TaskTimes(step_s=3.0))
    keep_durations(str(tmp_path), known)
    (file,) = (path for path in tmp_path.rglob("*.json") if path.is_file())
    file.write_bytes(file.read_bytes()[:40])
    assert read_durations(str(tmp_path)).means == {}
