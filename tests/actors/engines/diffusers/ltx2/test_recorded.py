"""Forwards that come again are recorded; nothing of what they make depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from actors.engines.diffusers.fused.fp8 import Fp8Linear
from actors.engines.diffusers.ltx2 import denoise
from actors.engines.diffusers.ltx2.attention import AttentionState
from actors.engines.diffusers.ltx2.denoise import Transformer
from actors.engines.diffusers.ltx2.recorded import MOST, Recorder, worth_recording
from actors.engines.diffusers.ltx_video.lora import MergedLoras, OpenLora
from actors.engines.diffusers.residents import Residents
from actors.engines.make import make_engine
from actors.payload import pack
from actors.steps.run import run_stage
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig, PassStrengths
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from jobs.weights.lora_keys import Patch

if TYPE_CHECKING:
    from actors.engines.base import Engine

CHUNKS = [
    {"generate": {"prompt": "a red ball", "num_frames": 17}},
    {"extend": {"prompt": "a blue ball bounces", "num_new_frames": 16, "overlap_frames": 16}},
]


class Doubled(torch.nn.Module):
    """Makes twice what it is given, and counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), 2.0))
        self.runs = 0

    def forward(self, hidden_states: Tensor, blocks: list[int] | None = None) -> tuple[Tensor]:
        self.runs += 1
        return (hidden_states * self.weight,)


@dataclass
class Recordings:
    """Stands where CUDA graphs are: a CPU has none. Notes what is recorded, and in whose memory."""

    made: list[Any] = field(default_factory=list)
    fault: Exception | None = None

    def __call__(self, module: Any, given: Mapping[str, Any], other: Any) -> Callable[..., Any]:
        if self.fault is not None:
            raise self.fault
        self.made.append((given, other))
        return lambda again: (again["hidden_states"] * module.weight,)


def given(tokens: int = 3, **more: Any) -> dict[str, Any]:
    return {"hidden_states": torch.ones(1, tokens, 2), **more}


def test_the_second_forward_of_a_kind_is_recorded_and_later_ones_are_played() -> None:
    module, recordings = Doubled(), Recordings()
    recorder = Recorder(recordings)
    for _ in range(4):
        assert torch.equal(recorder(module, given())[0], torch.full((1, 3, 2), 2.0))
    assert (module.runs, len(recordings.made)) == (1, 1)


@pytest.mark.parametrize(
    "other", [given(4), given(blocks=[1]), given() | {"hidden_states": torch.ones(2, 3, 2)}]
)
def test_another_shape_or_switch_is_another_kind(other: dict[str, Any]) -> None:
    module, recordings = Doubled(), Recordings()
    recorder = Recorder(recordings)
    for each in (given(), given(), other, other):
        recorder(module, each)
    assert (module.runs, len(recordings.made)) == (2, 2)
    assert recordings.made[0][1] is None
    assert recordings.made[1][1] is not None, "in the memory of the first"


def held(recorder: Recorder) -> bool:
    """Whether it would play the next forward."""
    module = Doubled()
    recorder(module, given())
    return module.runs == 0


def recorded() -> tuple[Transformer, Recorder]:
    """A transformer with a recording."""
    module, recorder = Doubled(), Recorder(Recordings())
    for _ in range(2):
        recorder(module, given())
    assert held(recorder)
    return Transformer(module, AttentionState(), recorder=recorder), recorder


def test_weights_that_move_are_forgotten() -> None:
    model, recorder = recorded()
    model.to(torch.device("cpu"))
    assert not held(recorder)


@pytest.mark.parametrize("free", ["empty_cache", "evict", "stream"])
def test_whatever_makes_room_forgets(free: str) -> None:
    model, recorder = recorded()
    residents = Residents(torch.device("cpu"), {"denoising": lambda: model})
    residents.get("denoising")
    assert held(recorder)
    getattr(residents, free)(*([["denoising"]] if free == "stream" else []))
    assert not held(recorder)


@pytest.mark.parametrize("fp8", [False, True])
def test_a_lora_leaves_weights_where_they_are(fp8: bool, tmp_path: Path) -> None:
    """Recordings go by their addresses."""
    linear: Any = torch.nn.Linear(16, 16, bias=False)
    block: Any = torch.nn.Module()
    block.first = Fp8Linear(linear, torch.device("cpu")) if fp8 else linear
    stored = linear.weight.detach().clone()
    save_file({"first.weight": torch.ones(16, 16)}, tmp_path / "lora.safetensors")
    opened = OpenLora(tmp_path / "lora.safetensors", (Patch("first.weight", {"diff": "first.weight"}),))
    loras = MergedLoras(
        block,
        [(opened.path, PassStrengths(sample=1.0, upscale=0.0))],
        lambda *_: opened,
        lambda names: ((name, stored) for name in names),
        lambda name: name,
    )
    places = [weight.data_ptr() for weight in block.parameters()]
    before = [weight.detach().float().clone() for weight in block.parameters()]
    loras.use("sample")
    assert [weight.data_ptr() for weight in block.parameters()] == places
    assert not all(torch.equal(a, b.float()) for a, b in zip(before, block.parameters(), strict=True))


def test_what_is_no_plain_value_is_refused() -> None:
    with pytest.raises(TypeError, match="dict"):
        Recorder(Recordings())(Doubled(), given(blocks={}))


def test_what_is_forgotten_is_recorded_anew() -> None:
    module, recordings = Doubled(), Recordings()
    recorder = Recorder(recordings)
    for forget in (False, False, True, False):
        if forget:
            recorder.forget()
        recorder(module, given())
    assert (module.runs, len(recordings.made)) == (2, 2)


def test_the_oldest_of_too_many_goes() -> None:
    module, recordings = Doubled(), Recordings()
    recorder = Recorder(recordings)
    for tokens in [*range(MOST + 1), 0]:
        recorder(module, given(1 + tokens))
        recorder(module, given(1 + tokens))
    assert len(recordings.made) == MOST + 2


@pytest.mark.parametrize("fault", [RuntimeError("not permitted"), torch.OutOfMemoryError("no memory")])
def test_what_cannot_be_recorded_runs_as_it_is(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    module = Doubled()
    recorder = Recorder(Recordings(fault=fault))
    for _ in range(4):
        assert torch.equal(recorder(module, given())[0], torch.full((1, 3, 2), 2.0))
    assert module.runs == 4
    assert len(caplog.records) == 1


def test_weights_that_come_and_go_are_not_recorded() -> None:
    module, recordings = Doubled(), Recordings()
    module.elsewhere = torch.nn.Parameter(torch.zeros(1, device="meta"))
    recorder = Recorder(recordings)
    for _ in range(3):
        recorder(module, given())
    assert (module.runs, recordings.made) == (3, [])


def test_a_cpu_records_nothing() -> None:
    assert not worth_recording(torch.zeros(1, 8, 2))


@pytest.fixture
def on_a_gpu(small_ltx2: Path) -> Iterator[Engine]:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    engine = make_engine(EngineConfig(checkpoint=str(small_ltx2)), "cuda", 1)
    engine.setup(frozenset(Stage) - {Stage.SEGMENT})
    yield engine
    engine.close()


@pytest.mark.gpu
def test_a_recorded_film_has_the_bytes_of_one_that_is_not(
    on_a_gpu: Any, small_ltx2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guider = {"name": "stg", "params": {"modality": 3.0}}
    spec = {
        "name": "film",
        "engine": {"checkpoint": str(small_ltx2)},
        "defaults": {"width": 128, "height": 64, "steps": 4, "cfg": 3.0, "guider": guider},
        "videos": [{"name": "film", "chunks": CHUNKS, "sound": [{"generate": True}]}],
    }
    tasks = build_graph(make_plan(JobSpec.model_validate(spec, strict=False), None)).tasks.values()

    def rendered() -> dict[str, Any]:
        made: dict[str, Any] = {}
        for task in tasks:
            if task.stage is not Stage.SEGMENT:
                inputs: dict[str, list[Any]] = {}
                for need in task.needs:
                    inputs.setdefault(need.role, []).append(made[need.task])
                made[task.id] = run_stage(task, inputs, on_a_gpu, Path())
        return made

    films = [rendered(), rendered()]
    recorder = on_a_gpu._runner.residents.get("denoising").recorder
    assert recorder._kept, "nothing was recorded"
    on_a_gpu.free("resident")
    assert not recorder._kept
    films.append(rendered())
    on_a_gpu.free("stream")
    films.append(rendered())
    assert not recorder._kept, "blocks that come and go are not recorded"
    monkeypatch.setattr(denoise, "worth_recording", lambda _: False)
    plain = rendered()
    for film in films:
        for task, wanted in plain.items():
            assert pack(film[task]) == pack(wanted), task
