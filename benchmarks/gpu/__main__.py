"""python -m benchmarks.gpu --out DIR [--only ITEM ...] [--size real|rehearsal] [--seconds-budget N]

Each item runs in a process of its own and for no longer than its share of the budget: one that fails or
hangs is reported, the others go on. Tables are written as soon as they are measured: `results.jsonl`,
`gpu.md`. `--size rehearsal` takes a tiny model, on the CPU where there is no GPU. Exit code 1 when an item
failed or was not run for want of time.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu import (
    decode_items,
    farm_items,
    film_item,
    idle_item,
    kernel_items,
    nodes_item,
    probe_item,
    steps_item,
)
from benchmarks.gpu.attention import item as attention_item
from benchmarks.gpu.bench import Bench, roomy
from benchmarks.gpu.memory import decoders_item, out_of_memory, workers_item
from benchmarks.gpu.peers import item as peers_item
from benchmarks.gpu.several import gang_item, multi_items
from benchmarks.gpu.text import item as text_item

LONGEST = 2.5
"""An item is stopped after this many times its estimate."""


@dataclass(frozen=True, slots=True)
class Item:
    """A measurement, and about how many seconds it takes on an H100 or H200."""

    run: Callable[[Bench], None]
    estimate_s: float


ITEMS: dict[str, Item] = {
    # What has a bar comes first: a budget that ends cuts tables without one.
    "transfer": Item(decode_items.transfer, 15),
    "attention": Item(attention_item.attention, 90),
    "ffn": Item(kernel_items.feed_forward, 40),
    "decode": Item(decode_items.decode_overlap, 50),
    "idle": Item(idle_item.idle, 45),
    "overhead": Item(farm_items.overhead, 290),
    "determinism": Item(farm_items.determinism_item("auto"), 120),
    "determinism-fp8": Item(farm_items.determinism_item("fp8"), 120),
    "oom": Item(out_of_memory.out_of_memory, 90),
    "colocated": Item(farm_items.colocated, 130),
    "diffusers-2b": Item(farm_items.engine_item("diffusers", "2b"), 60),
    "steps-13b": Item(steps_item.item("13b"), 150),
    "steps-ltx2.3": Item(steps_item.item("ltx2.3"), 150),
    "workers-13b": Item(workers_item.item("13b"), 120),
    "workers-13b-fp8": Item(workers_item.item("13b", "fp8"), 90),
    "workers-ltx2.3": Item(workers_item.item("ltx2.3"), 150),
    "workers-ltx2.3-fp8": Item(workers_item.item("ltx2.3", "fp8"), 120),
    "workers-ltx2.5": Item(decoders_item.item(diffusion=False), 220),
    "workers-ltx2.5-diffusion": Item(decoders_item.item(diffusion=True), 220),
    "text-ltx2.3": Item(text_item.item("ltx2.3"), 240),
    "text-ltx2.5": Item(text_item.item("ltx2.5"), 240),
    "text-2b": Item(text_item.item("2b"), 180),
    "film-ltx2.3": Item(film_item.item("auto"), 350),
    "film-ltx2.3-fp8": Item(film_item.item("fp8"), 250),
    "peers": Item(peers_item.peers, 900),
    "probe": Item(probe_item.probe, 15),
    "switches": Item(kernel_items.determinism_cost, 40),
    "diffusers-13b": Item(farm_items.engine_item("diffusers", "13b"), 190),
    "diffusers-13b-fp8": Item(farm_items.engine_item("diffusers", "13b", "fp8"), 100),
    "comfyui-nodes": Item(nodes_item.nodes, 60),
    "comfyui-2b": Item(farm_items.engine_item("comfyui", "2b"), 70),
    "comfyui-13b": Item(farm_items.engine_item("comfyui", "13b"), 130),
    "diffusers-ltx2.3": Item(farm_items.engine_item("diffusers", "ltx2.3"), 220),
    "diffusers-ltx2.3-fp8": Item(farm_items.engine_item("diffusers", "ltx2.3", "fp8"), 120),
    "comfyui-ltx2.3": Item(farm_items.engine_item("comfyui", "ltx2.3"), 220),
    "gang-13b": Item(gang_item.gang_item("13b"), 220),
    "gang-ltx2.3": Item(gang_item.gang_item("ltx2.3"), 260),
    **{name: Item(run, estimate_s) for name, (run, estimate_s) in multi_items.ITEMS.items()},
}


SEVERAL = ("multi-", "gang-")
"""Items that need several GPUs, and are run by name only."""


def main() -> int:
    options = _parser().parse_args()
    if options.comfyui:
        os.environ["COMFYUI_PATH"] = options.comfyui
    if options.child:
        return _child(options)
    Path(options.out).mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + options.seconds_budget
    failed = []
    for name in options.only or [name for name in ITEMS if not name.startswith(SEVERAL)]:
        left_s = end_s - time.monotonic()
        if left_s < 10:
            print(f"{name}: no time left, not run", flush=True)
            failed.append(name)
            continue
        limit_s = min(left_s, max(60.0, LONGEST * ITEMS[name].estimate_s))
        start = time.monotonic()
        code = _run_child(name, limit_s)
        print(
            f"{name}: {'done' if code == 0 else f'FAILED ({code})'} in {time.monotonic() - start:.0f} s",
            flush=True,
        )
        failed += [name] if code else []
    print(f"not done: {', '.join(failed) or 'nothing'}", flush=True)
    return 1 if failed else 0


def _run_child(name: str, limit_s: float) -> int:
    """Run one item as this script's own child, in a session that is ended with it."""
    end_s = str(time.monotonic() + limit_s)
    words = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--child", name, "--end-s", end_s]
    child = subprocess.Popen(words, start_new_session=True)
    try:
        return child.wait(timeout=limit_s)
    except subprocess.TimeoutExpired:
        print(f"{name}: stopped after {limit_s:.0f} s", flush=True)
        return -1
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Whatever the item left running: its own process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        time.sleep(1.0)


def _child(options: argparse.Namespace) -> int:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    place = Path(options.scratch) if options.scratch else roomy(options.scratch_gib << 30) / "ltx-farm-gpu"
    bench = Bench(
        options.child,
        Path(options.out),
        options.size,
        device,
        place,
        options.comfyui,
        options.repeats,
        options.end_s,
        tuple(options.peers),
    )
    try:
        ITEMS[options.child].run(bench)
    except BaseException:
        # Everything, so that the log says why: the parent only sees a code.
        traceback.print_exc()
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the tables")
    parser.add_argument(
        "--only", nargs="+", choices=list(ITEMS), help="items; left out: all that one GPU runs"
    )
    parser.add_argument("--size", choices=("real", "rehearsal"), default="real")
    parser.add_argument("--seconds-budget", type=float, default=3600.0, help="for all items together")
    parser.add_argument("--comfyui", default=os.environ.get("COMFYUI_PATH", ""), help="a ComfyUI checkout")
    parser.add_argument("--scratch", help="folder for checkpoints and runs; left out: where there is room")
    parser.add_argument("--scratch-gib", type=int, default=48, help="room that the checkpoints need")
    parser.add_argument("--repeats", type=int, default=3, help="runs of `overhead`, whose median is told")
    parser.add_argument(
        "--peers", nargs="+", default=(), metavar="NAME", help="of `peers`, only those that begin so"
    )
    parser.add_argument("--child", choices=list(ITEMS), help=argparse.SUPPRESS)
    parser.add_argument("--end-s", type=float, default=math.inf, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
