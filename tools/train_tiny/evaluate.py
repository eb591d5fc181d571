"""Judges a checkpoint on its training device: prompts, guides, long takes. Reads the exported file, as users
do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_upsampler, load_vae
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import TinyTokenizer
from benchmarks.tiny.detector import read
from benchmarks.tiny.scores import Motion, Wanted, motion, prompt_scores, psnr, rate
from tools.train_tiny.prompts import UNNAMED, HeldOut, held_out
from tools.train_tiny.sampler import Guide, Models, Settings, film, long_take, refine, seams
from tools.train_tiny.training import Run
from tools.train_tiny.upsampler import upsampler_gain
from tools.train_tiny.vae import held_out_psnr
from tools.train_tiny.world import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, Frame, draw_scenes, render

SMALL, LARGE = (13, 4, 4), (13, 8, 8)


def load(path: Path, device: torch.device) -> Models:
    """The exported file in float32 on `device`."""
    checkpoint = Checkpoint.open(path)
    text = TinyTextEncoder.from_config(checkpoint.configs["text_encoder"])
    text.load_state_dict(checkpoint.state("text_encoder."))
    f32 = torch.float32
    return Models(
        load_transformer(checkpoint, f32).to(device),
        text.float().eval().to(device),
        load_vae(checkpoint, f32).to(device),
        load_upsampler(checkpoint, f32).to(device),
        TinyTokenizer.from_config(checkpoint.configs["text_encoder"]),
        device,
    )


def wanted() -> list[Wanted]:
    """The held-out prompts and what they say."""
    return [_wanted(item) for item in held_out()]


def _wanted(item: HeldOut) -> Wanted:
    colour, shape, background, direction = item.combination
    named = None if direction == UNNAMED else DIRECTIONS[direction]
    return Wanted(item.prompt, list(COLOURS)[colour], SHAPES[shape], list(BACKGROUNDS)[background], named)


def prompts(
    models: Models, shape: tuple[int, int, int], settings: Settings, count: int = 64
) -> dict[str, float]:
    """Scores of the held-out prompts."""
    items = wanted()[:count]
    readings = []
    for i in range(0, len(items), 32):
        latents = models.sample([item.prompt for item in items[i : i + 32]], shape, settings)
        readings += [read(models.decode(latents[j : j + 1])[0]) for j in range(len(latents))]
    return prompt_scores(items, readings)


def stills(models: Models, frame: Frame, settings: Settings, count: int) -> dict[str, float]:
    """PSNR of the frames that image guides fix: the first, and the last together with the first."""
    generator = torch.Generator(models.device).manual_seed(77)
    scenes = draw_scenes(count, frame, generator)
    truth = (render(scenes, torch.tensor([0, 96], device=models.device), frame)[0].transpose(1, 2) + 1) / 2
    first, last = (models.encode_still(truth[:, i]) for i in (0, 1))
    names = [
        f"a {list(COLOURS)[c]} {SHAPES[s]} moves over a {list(BACKGROUNDS)[b]} background"
        for c, s, b in zip(scenes.colour, scenes.shape, scenes.background, strict=True)
    ]
    shape = (13, frame.height // 32, frame.width // 32)
    one = models.decode(models.sample(names, shape, settings, [Guide(first, [0])]))
    soft = models.decode(models.sample(names, shape, settings, [Guide(first, [0], 0.05)]))
    two = models.decode(models.sample(names, shape, settings, [Guide(first, [0]), Guide(last, [96])]))
    return {
        "first": sum(psnr(one[i, 0], truth[i, 0]) for i in range(count)) / count,
        "first, strength 0.95": sum(psnr(soft[i, 0], truth[i, 0]) for i in range(count)) / count,
        "first of both": sum(psnr(two[i, 0], truth[i, 0]) for i in range(count)) / count,
        "last of both": sum(psnr(two[i, -1], truth[i, 1]) for i in range(count)) / count,
    }


def takes(
    models: Models,
    settings: Settings,
    again: Settings,
    count: int,
    extends: int,
    shape: tuple[int, int, int] = SMALL,
) -> None:
    """Long takes without and with refinement."""
    items = wanted()[:count] if count <= 8 else wanted()[:: 64 // count]
    sentences = [item.prompt for item in items]
    take = long_take(models, sentences, shape, settings, extends)
    for name, candidate in (
        ("plain", take),
        ("refined", refine(models, take, sentences, again) if shape == SMALL else None),
    ):
        if candidate is None:
            continue
        rows = [
            motion(film(models, candidate, i), seams(candidate), 8 * candidate.blend)
            for i in range(len(items))
        ]
        print(f"takes {shape} {name}: {_summary(rows, items)}", flush=True)
        for row, item in zip(rows, items, strict=True):
            if row.ratio > 1.25:
                print(f"  {row.ratio:.3f} at frame {row.jump_at} of {seams(candidate)}: {item.prompt}")


def _summary(rows: list[Motion], items: list[Wanted]) -> str:
    ratios = sorted(row.ratio for row in rows)
    drift = sorted(row.last_speed / row.first_speed for row in rows)
    parts = {
        "colour": rate([r.last_colour == w.colour for r, w in zip(rows, items, strict=True)]),
        "shape": rate([r.last_shape == w.shape for r, w in zip(rows, items, strict=True)]),
        "ratio median": ratios[len(ratios) // 2],
        "ratio max": ratios[-1],
        "within 1.25": rate([r <= 1.25 for r in ratios]),
        "p99": sum(r.elsewhere_p99 for r in rows) / len(rows),
        "jump": sum(r.seam_jump for r in rows) / len(rows),
        "speed ratio mean": sum(drift) / len(drift),
        "min": drift[0],
        "max": drift[-1],
    }
    return "  ".join(f"{name} {value:.3f}" for name, value in parts.items())


def _report(models: Models, shape: tuple[int, int, int], settings: Settings, count: int) -> None:
    scores = prompts(models, shape, settings, count)
    print(f"prompts {shape} {settings}: " + "  ".join(f"{k} {v:.3f}" for k, v in scores.items()), flush=True)


def _all_prompts(models: Models, count: int, sizes: Sequence[tuple[int, int, int]]) -> None:
    for shape in sizes:
        _report(models, shape, Settings(), count)


def _all_takes(models: Models, count: int, extends: int, sizes: Sequence[tuple[int, int, int]]) -> None:
    takes(models, Settings(), Settings(8, 3.0, denoise=0.5), count, extends)
    if LARGE in sizes:
        takes(models, Settings(), Settings(), count // 2, extends, LARGE)


def _all_stills(models: Models, count: int) -> None:
    for frame in (Frame(128, 128), Frame(256, 256)):
        scores = stills(models, frame, Settings(), count)
        print(f"guides {frame}: " + "  ".join(f"{k} {v:.2f} dB" for k, v in scores.items()), flush=True)


def _all_settings(models: Models, count: int, sizes: Sequence[tuple[int, int, int]]) -> None:
    """What other steps, guidance and samplers make of the prompts."""
    some = [Settings(12), Settings(20), Settings(16, 2.0), Settings(16, 4.5), Settings(20, ancestral=True)]
    for settings in some:
        for shape in sizes:
            _report(models, shape, settings, 2 * count)


def _pixels(models: Models, run: Run) -> None:
    for frame in (Frame(128, 128), Frame(256, 256)):
        print(f"vae {frame}: {held_out_psnr(models.vae, run, frame):.2f} dB")
    gain = upsampler_gain(models.vae, models.upsampler, run)
    print("upsampler {:.2f} dB, bicubic {:.2f} dB".format(*gain), flush=True)


PARTS = ("prompts", "takes", "guides", "settings", "pixels")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.train_tiny.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; left out: all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--extends", type=int, default=20)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; take some of {', '.join(PARTS)}")
    device = torch.device(options.device)
    models = load(options.checkpoint, device)
    run = Run(device, Path(), 0, batch_scale=options.count / 32)
    sizes = (SMALL, LARGE) if options.count > 4 else (SMALL,)
    work: dict[str, Callable[[], None]] = {
        "prompts": lambda: _all_prompts(models, 2 * options.count, sizes),
        "takes": lambda: _all_takes(models, options.count, options.extends, sizes),
        "guides": lambda: _all_stills(models, options.count),
        "settings": lambda: _all_settings(models, options.count, sizes),
        "pixels": lambda: _pixels(models, run),
    }
    with torch.no_grad():
        for part in options.parts or PARTS:
            work[part]()


if __name__ == "__main__":
    main()
