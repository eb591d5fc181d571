"""Faults of a cluster: workers that die, hang, run out of memory or make nonsense; raylet, node and head."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial

from tests.durability.conftest import film_spec
from tests.ray.kit.nodes import head_and_nodes
from tests.ray.kit.processes import descendants, farm_workers, title
from tools.faults.bench import SLOW, Bench
from tools.faults.trial import Trial

RAY = ("-t", "mono=2,segment=1")
STAGES = ("encode", "sample", "decode", "segment")
TASKS = {"sample": "dawn/00001/sample", "decode": "dawn/00002/decode", "segment": "dawn/00003/segment"}
DISABLED = {"RAY_AUTH_MODE": "disabled"}


def trials() -> Iterator[Trial]:
    """All of them."""
    for do in ("kill", "exit", "device_lost", "raise"):
        yield Trial("worker", f"{do} at sample, decode and segment", partial(scripted, do=do), tried=3)
    for do in ("oom", "nan", "shape"):
        yield Trial("worker", f"{do} at sample and decode", partial(scripted, do=do, stages=2), tried=2)
    yield Trial("worker", "a step that hangs", partial(scripted, do="hang", stages=1))
    yield Trial("worker", "SIGSTOP of a busy worker", frozen)
    yield Trial("worker", "SIGKILL of all workers at once", all_workers)
    yield Trial("driver on Ray", "SIGKILL", driver)
    yield Trial("raylet", "SIGKILL of the only one", partial(service, name="raylet/raylet"))
    yield Trial("head", "SIGKILL of the GCS", partial(service, name="gcs_server"))
    yield Trial("node", "one of two is killed", node)
    yield Trial("storage on Ray", "runs mount lost under driver and workers", unmounted)


def engine(bench: Bench, faults: list[dict[str, object]]) -> dict[str, object]:
    script = bench.folder / "faults.json"
    script.write_text(json.dumps({"faults": faults}))
    return {"name": "fake", "fake": {**SLOW["fake"], "faults": str(script)}}  # type: ignore[dict-item]


def drive(bench: Bench, harm: object, expected: tuple[int, ...], *words: object, **more: object) -> str:
    with_spec = partial(film_spec, bench.folder / "out")
    bench.spec = lambda **changes: with_spec(**{"engine": SLOW, **more, **changes})  # type: ignore[method-assign]
    try:
        return bench.drive(harm, expected, words=words or RAY, **DISABLED)  # type: ignore[arg-type]
    finally:
        del bench.spec


def scripted(bench: Bench, do: str, stages: int = 3) -> None:
    tasks = list(TASKS.values())[:stages]
    faults = [{"task": task, "do": do, "attempts": [1], "after_s": 0.05} for task in tasks]
    quick = {"deadlines": dict.fromkeys(STAGES, 8)} if do == "hang" else {}
    drive(bench, lambda _: None, (0,), engine=engine(bench, faults), run=quick)
    bench.require_whole()


def workers(driver: subprocess.Popen[bytes]) -> list[int]:
    found = farm_workers(driver.pid)
    assert found
    return sorted(found)


def frozen(bench: Bench) -> None:
    def stop(driver: subprocess.Popen[bytes]) -> None:
        os.kill(workers(driver)[0], signal.SIGSTOP)

    drive(bench, stop, (0,), run={"deadlines": dict.fromkeys(STAGES, 8)})
    bench.require_whole()


def all_workers(bench: Bench) -> None:
    def kill(driver: subprocess.Popen[bytes]) -> None:
        for pid in workers(driver):
            os.kill(pid, signal.SIGKILL)

    drive(bench, kill, (0,))
    bench.require_whole()


def driver(bench: Bench) -> None:
    drive(bench, lambda process: process.kill(), (-signal.SIGKILL,))
    bench.require_whole()


def service(bench: Bench, name: str) -> None:
    def kill(process: subprocess.Popen[bytes]) -> None:
        (pid,) = (each for each in descendants(process.pid) if name in title(each))
        os.kill(pid, signal.SIGKILL)

    said = drive(bench, kill, (0, 3))
    assert "job harbor: done" in said or "this render's own Ray has failed" in said
    bench.require_whole()


def node(bench: Bench) -> None:
    with head_and_nodes(2) as nodes:
        victim = next(iter(nodes.raylets.values()))
        drive(bench, lambda _: os.kill(victim, signal.SIGKILL), (0,), *RAY, "--address", nodes.address)
    bench.require_whole()


def unmounted(bench: Bench) -> None:
    away = bench.folder / "away"

    def unplug(_: object) -> None:
        bench.runs.rename(away)
        bench.runs.mkdir()

    said = drive(bench, unplug, (3,))
    assert "the folder is not there any more" in said, said[-400:]
    assert not list(bench.runs.iterdir())
    shutil.rmtree(bench.runs)
    away.rename(bench.runs)
    bench.require_whole()
