"""What a worker keeps for itself of models of full size: files of holes, 43 and 24 GB, that read as zeros."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from comfyui_farm import ROOT
from comfyui_text import tokenizer

from jobs.weights.safetensors_header import read_header, tensors_start
from tests.official.files import write_sparse
from tests.official.ltx2_files import write_single_file

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]

GIB = 2**20
"""In the KiB of /proc."""
MOST = 8.0
WORKER = """
import os, sys
from actors.engines.comfyui.engine import ComfyEngine
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage

config = EngineConfig.model_validate({
    "name": "comfyui", "checkpoint": sys.argv[1], "audio_vae": sys.argv[1], "text_encoder": sys.argv[2],
    "dtype": "bfloat16",
})
engine = ComfyEngine(config.model_copy(update={"comfyui": os.environ["COMFYUI_PATH"]}), "cpu", 1)
engine.setup(frozenset({Stage.ENCODE, Stage.SAMPLE, Stage.DECODE}))
import comfy.model_management
comfy.model_management.load_models_gpu([engine.loaded.model, engine.loaded.text.clip.patcher])
print(sum(each.numel() for each in engine.loaded.model.model.diffusion_model.parameters()))
"""


@pytest.fixture(scope="module")
def models(core: Any, tmp_path_factory: Any) -> tuple[Path, Path]:
    """LTX-2.3 in one file, and Gemma 3 12B."""
    import comfy.ops
    import torch
    from comfy.text_encoders import llama

    if core.lacks("ltx-2.5"):
        pytest.skip("before 0.32 this Gemma is not built without its weights")
    folder = tmp_path_factory.mktemp("full")
    whole = llama.Gemma3_12B({}, torch.bfloat16, "meta", comfy.ops.disable_weight_init).state_dict()
    shapes = {name: ("BF16", tuple(part.shape)) for name, part in whole.items() if name.startswith("model.")}
    words = tokenizer().numpy().tobytes()
    gemma = write_sparse(folder / "gemma.safetensors", {**shapes, "spiece_model": ("U8", (len(words),))})
    with gemma.open("r+b") as file:
        file.seek(tensors_start(gemma) + read_header(gemma)["spiece_model"]["data_offsets"][0])
        file.write(words)
    return write_single_file(folder / "ltx-2.3.safetensors", "2.3"), gemma


def test_a_worker_has_little_for_itself(models: tuple[Path, Path]) -> None:
    """Text encoder, transformer and VAE of one worker, while it loads them. Core would compute in float32 on
    a CPU, which no file has: the number type is that of the file, as on a GPU."""
    checkpoint, gemma = models
    assert checkpoint.stat().st_size > 42 * 2**30
    command = [sys.executable, "-c", WORKER, str(checkpoint), str(gemma)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    most = 0.0
    with subprocess.Popen(command, env=environment, **pipes) as worker:  # type: ignore[call-overload]
        while worker.poll() is None:
            most = max(most, private_gib(worker.pid))
            if most > MOST:
                worker.kill()
            time.sleep(0.05)
        said = worker.stdout.read()
    if "Cannot allocate memory" in said:
        pytest.skip("this kernel maps no file larger than its memory (vm.overcommit_memory)")
    print(f"at most {most:.2f} GiB")
    assert most <= MOST
    assert worker.returncode == 0, said[-3000:]
    assert int(said.split()[-1]) > 18e9


def private_gib(pid: int) -> float:
    """What a process has for itself: pages that it wrote, and pages of files that it alone has read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / GIB
