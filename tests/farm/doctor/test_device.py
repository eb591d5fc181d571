from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actors.models import TINY_CHECKPOINT
from farm.doctor import device
from farm.doctor.device import check_device, check_fit, check_kernels, check_memory
from farm.topology.candidates import Footprint
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage
from tests.farm.doctor.conftest import Doctor, film, found

ALL = frozenset(Stage)
WEIGHTS = {
    Stage.ENCODE: {"text": 9.0},
    Stage.SAMPLE: {"dit": 26.0},
    Stage.UPSCALE: {"dit": 26.0, "up": 1.0},
    Stage.DECODE: {"vae": 2.0},
}
WORKING = {Stage.SAMPLE: 4.0, Stage.DECODE: 8.0}


def levels(device_gib: float, stages: frozenset[Stage] = ALL) -> list[tuple[str, str]]:
    footprint = Footprint(device_gib, WEIGHTS, WORKING)
    return [(finding.level.value, finding.message.split()[0]) for finding in check_fit(footprint, stages)]


def test_torch_is_named(doctor: Doctor) -> None:
    assert "2." in found(doctor(), "torch", "ok")["message"]


@pytest.mark.parametrize(
    ("device_gib", "expected"),
    [
        (80.0, [("ok", "all")]),
        (40.0, [("warn", "all")]),
        (28.0, [("fail", "sample")]),
        (9.5, [("fail", "sample"), ("fail", "upscale"), ("fail", "decode")]),
    ],
)
def test_memory_against_each_stages_need(device_gib: float, expected: list[tuple[str, str]]) -> None:
    assert levels(device_gib) == expected


def test_stages_that_the_job_has_not_do_not_count() -> None:
    assert levels(11.0, frozenset({Stage.DECODE, Stage.SEGMENT})) == [("ok", "all")]


def test_the_fix_for_too_little_memory() -> None:
    (split,) = check_fit(Footprint(40.0, WEIGHTS, WORKING), ALL)
    assert "--topology" in split.fix
    assert check_fit(None, ALL) is not None
    assert list(check_fit(None, ALL)) == []


def test_a_gpu_that_others_use() -> None:
    (busy,) = check_memory("0 H200", 60.0, 140.0)
    assert busy.level == "warn"
    assert "80 of 140 GiB" in busy.message
    assert "nvidia-smi" in busy.fix
    (free,) = check_memory("0 H200", 139.0, 140.0)
    assert free.level == "ok"


def test_torch_that_cannot_be_imported(tmp_path: Path) -> None:
    """A broken torch in front of the real one, as a mismatched build behaves."""
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from farm.doctor.device import check_device; "
        "print(*check_device(None, None))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("fail torch: cannot be imported: libcudart")
    assert "-> pip install torch" in done.stdout


def test_a_driver_that_torch_cannot_use(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a torch without CUDA does beside a loaded driver."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees the GPU")
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Release Build\n")
    monkeypatch.setattr(device, "DRIVER", driver)
    finding = found(doctor(), "gpu", "fail")
    assert "580.159.04" in finding["message"]
    assert "pip install torch" in finding["fix"]
    assert found(doctor(), "torch", "ok")["message"].endswith("driver 580.159.04")


def test_a_real_model_without_a_gpu(doctor: Doctor, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU")
    (tmp_path / "ltxv.safetensors").symlink_to(TINY_CHECKPOINT)
    report = doctor(
        film(tmp_path, engine={"name": "diffusers", "checkpoint": str(tmp_path / "ltxv.safetensors")})
    )
    finding = found(report, "gpu", "warn")
    assert "hours a clip on a CPU" in finding["message"]
    assert finding["fix"] == "run on a machine with a GPU"


def test_a_head_without_a_gpu_does_not_speak_for_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "DRIVER", Path("/no/such/driver"))
    real = EngineConfig(checkpoint="ltxv.safetensors")
    _, alone = check_device(real, None)
    _, head = check_device(real, None, cluster_gpus=64.0)
    assert (alone.level, head.level) == ("warn", "ok")
    assert "none on this machine, 64 in the cluster" in head.message


@pytest.mark.gpu
def test_a_gpu_that_another_process_holds(doctor: Doctor) -> None:
    code = (
        "import sys, torch; free, total = torch.cuda.mem_get_info(); "
        "kept = torch.empty(total // 5, dtype=torch.uint8, device='cuda'); torch.cuda.synchronize(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        finding = found(doctor(), "gpu", "warn")
        other.communicate("")
    assert "taken by other processes" in finding["message"]
    assert "nvidia-smi" in finding["fix"]


@pytest.mark.gpu
def test_a_model_larger_than_the_gpu(doctor: Doctor, tmp_path: Path) -> None:
    """A sparse file: as large as a model of 400 GiB, and nothing on the disk."""
    path = tmp_path / "m.safetensors"
    size = 400 * 2**30
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    report = doctor(film(tmp_path, engine={"name": "diffusers", "checkpoint": str(path)}))
    findings = [one for one in report if (one["check"], one["level"]) == ("memory", "fail")]
    assert findings
    assert all("a larger GPU" in one["fix"] for one in findings)


@pytest.mark.gpu
def test_a_real_gpu(doctor: Doctor) -> None:
    import torch

    report = doctor()
    gpus = [finding for finding in report if finding["check"] == "gpu"]
    assert len(gpus) == torch.cuda.device_count()
    assert all("GiB" in finding["message"] for finding in gpus)


def test_what_kernels_lack_is_named() -> None:
    engine = EngineConfig(name="diffusers")
    (found,) = check_kernels(engine, "a C compiler (gcc or clang)")
    assert (found.level, found.check) == ("warn", "kernels")
    assert "a C compiler" in found.message
    assert [each.level for each in check_kernels(engine, "")] == ["ok"]
    assert not list(check_kernels(EngineConfig(name="comfyui"), "the package triton"))
