"""Faults of the storage: lost, full, read-only, silent, slow, lying; torn documents and rotten artifacts."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.verbs.verify import verify_job
from tests.durability.conftest import JOB
from tests.faulty_s3 import Answer, LostAnswers, Silence, faulty_s3, ignoring_the_condition
from tests.ray.kit.commands import farm, write_spec
from tools.faults.trial import Trial

if TYPE_CHECKING:
    from tools.faults.bench import Bench

DOCUMENTS = ("plan.json", "digests.json", "spec.yaml", "events", "commits")
HARMS = ("cut short", "changed, time stamp new", "changed, size and time stamp kept", "deleted", "emptied")
TASKS = ("dawn/00001/sample", "dawn/00002/segment")


def trials() -> Iterator[Trial]:
    """All of them."""
    for left in ("nothing", "an empty mount point", "an empty run directory"):
        yield Trial("storage", f"runs mount lost, {left} in its place", partial(lost, left=left))
    yield Trial("storage", "disk full", full)
    yield Trial("storage", "file system becomes read-only", read_only)
    yield Trial("object store", "answer to the create of the lock lost", partial(answers, where="lock/"))
    yield Trial("object store", "answer to the probe of the medium lost", partial(answers, where=".probe-"))
    yield Trial("object store", "answers to all commits lost", partial(answers, where="commits/"))
    yield Trial("object store", "takes requests and never answers", silent)
    yield Trial("object store", "silent for 12 s, then answers", hiccup)
    yield Trial("object store", "answers after 0.05 s each", partial(through, fault=slow))
    yield Trial("object store", "one request in five fails with 503", partial(through, fault=Failing(5)))
    yield Trial("object store", "ignores the condition of an exclusive create", lying)
    for name in DOCUMENTS:
        yield Trial("documents", f"{name} torn", partial(torn, name=name))
    for task in TASKS:
        for harm in HARMS:
            what = task.rpartition("/")[2]
            yield Trial("artifacts", f"a {what} {harm}", partial(harmed, task=task, harm=harm))


def lost(bench: Bench, left: str) -> None:
    away = bench.folder / "away"

    def unplug(_: object) -> None:
        bench.runs.rename(away)
        if left != "nothing":
            (bench.job_dir if left.endswith("directory") else bench.runs).mkdir(parents=True)

    said = bench.drive(unplug, (3,))
    assert "the folder is not there any more" in said
    assert "no job" not in said
    assert not bench.runs.exists() or not [path for path in bench.runs.rglob("*") if path.is_file()]
    shutil.rmtree(bench.runs, ignore_errors=True)
    away.rename(bench.runs)
    bench.require_whole()


@contextmanager
def disk(place: Path, mib: int) -> Iterator[None]:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def full(bench: Bench) -> None:
    filler = bench.runs / "filler"
    with disk(bench.runs, 4):
        said = bench.drive(
            lambda _: filler.write_bytes(b"\0" * (shutil.disk_usage(bench.runs).free - 4096)), (3,)
        )
        assert "the disk is full" in said
        filler.unlink()
        bench.require_whole()


def read_only(bench: Bench) -> None:
    def remount(mode: str) -> None:
        command = ["mount", "-o", f"remount,{mode}", str(bench.runs)]
        until = time.monotonic() + 20
        while (
            subprocess.run(command, capture_output=True, check=False).returncode and time.monotonic() < until
        ):
            pass

    with disk(bench.runs, 64):
        said = bench.drive(lambda _: remount("ro"), (3,))
        remount("rw")
        assert "read-only" in said
        bench.require_whole()


class Failing:
    """Every `nth` request is answered with 503, and done."""

    def __init__(self, nth: int) -> None:
        self.nth, self.count = nth, 0

    def __call__(self, app: Answer, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.count += 1
        if self.count % self.nth:
            return app(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
        start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def slow(app: Answer, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.05)
    return app(environ, start)


def through(bench: Bench, fault: Any) -> None:
    with faulty_s3(fault) as runs:
        bench.drive(lambda _: None, (0,), runs=runs)
        bench.require_whole(runs)


def answers(bench: Bench, where: str) -> None:
    lost_answers = LostAnswers(where)
    through(bench, lost_answers)
    assert lost_answers.lost


def silent(bench: Bench) -> None:
    fault = Silence(limit_s=300)
    with faulty_s3(fault, AWS_MAX_ATTEMPTS="2") as runs:
        said = bench.drive(lambda _: setattr(fault, "on", True), (3,), runs=runs)
        fault.on = False
        assert "has not answered for 5 s; still trying" in said
        bench.require_whole(runs)


def hiccup(bench: Bench) -> None:
    fault = Silence(limit_s=12)

    def breathe(_: object) -> None:
        fault.on = True
        time.sleep(12)
        fault.on = False

    with faulty_s3(fault) as runs:
        bench.drive(breathe, (0,), runs=runs)
        bench.require_whole(runs)


def lying(bench: Bench) -> None:
    with faulty_s3(ignoring_the_condition) as runs:
        done = farm("render", write_spec(bench.folder, bench.spec()), "--serial", "--runs", runs, **aws())
        assert done.returncode == 5
        assert "let one file be created twice" in done.stderr


def aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def torn(bench: Bench, name: str) -> None:
    assert bench.render().outcome == "done"
    path = bench.job_dir / name
    file = max(path.iterdir(), key=lambda each: each.stat().st_size) if path.is_dir() else path
    file.write_bytes(file.read_bytes()[:-4])
    bench.render()
    report = verify_job(str(bench.runs), JOB)
    left = [each for each in report.damage if each.part != "events"]
    assert left == [], left
    films = {film.name: film.sha256 for film in report_films(bench)}
    assert films == bench.films


def report_films(bench: Bench) -> tuple[Any, ...]:
    from farm.state.job_state import STATE_FORM

    state = bench.store.recall(STATE_FORM)
    assert state is not None
    return state.videos


def harmed(bench: Bench, task: str, harm: str) -> None:
    assert bench.render().outcome == "done"
    path = bench.artifact(task)
    data, times = path.read_bytes(), path.stat()
    middle = len(data) // 2
    changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    if harm == "deleted":
        path.unlink()
    else:
        path.write_bytes({"cut short": data[:-1], "emptied": b""}.get(harm, changed))
    if harm.endswith("kept"):
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [each.place for each in verify_job(str(bench.runs), JOB).damage] == [task]
    last = bench.render()
    assert {film["name"]: film["sha256"] for film in last.state["videos"]} == bench.films
    assert verify_job(str(bench.runs), JOB).ok
