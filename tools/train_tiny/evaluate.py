"""Judges a checkpoint on its training device: prompts, guides, sound, long takes. Reads the exported file, as
users do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from actors.models.tiny_words import TinyTokenizer
from benchmarks.tiny.detector import Reading, read
from benchmarks.tiny.scores import Hearing, Wanted, hearing, motion, prompt_scores, psnr, rate
from tools.train_tiny.coders.audio_vae import encode_mel
from tools.train_tiny.coders.upsampler import SPATIAL, TEMPORAL, upsampler_gain
from tools.train_tiny.coders.vae import held_out_psnr
from tools.train_tiny.export import unpacked
from tools.train_tiny.modules import (
    new_audio_vae,
    new_temporal_upsampler,
    new_transformer,
    new_upsampler,
    new_vae,
    new_vocoder,
    text_config,
)
from tools.train_tiny.procedural.prompts import UNNAMED, HeldOut, held_out
from tools.train_tiny.procedural.sound import bounces, mel_of
from tools.train_tiny.procedural.world import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    SHAPES,
    Frame,
    Scenes,
    draw_scenes,
    render,
)
from tools.train_tiny.sampler import Models, Pass, Settings, extend_pass, long_take
from tools.train_tiny.training import Run
from tools.train_tiny.transformer.bank import encode
from tools.train_tiny.transformer.flow import Words

SMALL, LARGE = Pass(13, 4, 4), Pass(13, 8, 8)
CHUNK_FRAMES = 80


def load(path: Path, device: torch.device) -> Models:
    """The exported file in float32 on `device`."""
    modules: dict[str, torch.nn.Module] = {
        "transformer": new_transformer(),
        "vae": new_vae(),
        "audio_vae": new_audio_vae(),
        "vocoder": new_vocoder(),
        "latent_upsampler": new_upsampler(),
        "temporal_upsampler": new_temporal_upsampler(),
    }
    states, words = unpacked(path), Words()
    modules |= {"text_encoder": words.text, "connectors": words.connectors}
    for name, module in modules.items():
        module.load_state_dict(states[name])
        module.float().to(device).eval().requires_grad_(False)
    return Models(
        modules["transformer"],
        words,
        modules["vae"],
        modules["audio_vae"],
        modules["vocoder"],
        modules["latent_upsampler"],
        modules["temporal_upsampler"],
        TinyTokenizer.from_config(text_config()),
        device,
    )


def wanted() -> list[Wanted]:
    """The held-out prompts and what they say."""
    return [_wanted(item) for item in held_out()]


def _wanted(item: HeldOut) -> Wanted:
    colour, shape, background, direction = item.combination
    named = None if direction == UNNAMED else DIRECTIONS[direction]
    return Wanted(item.prompt, list(COLOURS)[colour], SHAPES[shape], list(BACKGROUNDS)[background], named)


def prompts(models: Models, clip: Pass, settings: Settings, count: int = 64) -> dict[str, float]:
    """Scores of the held-out prompts, picture and sound."""
    items, readings, total = wanted()[:count], [], Hearing()
    for i in range(0, len(items), 32):
        some = items[i : i + 32]
        latents, sounds = models.sample([item.prompt for item in some], clip, settings)
        for j in range(len(some)):
            readings.append(read(models.decode(latents[j : j + 1])[0]))
            total += hearing(readings[-1], models.play(sounds[j : j + 1])[0])
    return {**prompt_scores(items, readings), **total.rates(), "bounces": float(total.seen)}


def _names(scenes: Scenes) -> list[str]:
    return [
        f"a {list(COLOURS)[c]} {SHAPES[s]} moves over a {list(BACKGROUNDS)[b]} background"
        for c, s, b in zip(scenes.colour, scenes.shape, scenes.background, strict=True)
    ]


def _frames(scenes: Scenes, frames: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Frames [B, F, 3, H, W] in [0, 1]."""
    return (render(scenes, frames, frame)[0].transpose(1, 2) + 1) / 2


def stills(models: Models, clip: Pass, settings: Settings, count: int) -> dict[str, float]:
    """PSNR of the frames that images fix, in a Generate and in an Extend of a true clip: where the object
    would come anyway, and where it has to be steered to.
    """
    frame = Frame(32 * clip.height, 32 * clip.width)
    generator = torch.Generator(models.device).manual_seed(77)
    scenes = draw_scenes(count, frame, generator)
    ends = _frames(scenes, torch.tensor([0, 96, 176], device=models.device), frame)
    names, scores = _names(scenes), {}

    def fixed(work: Pass, image: torch.Tensor, at: int) -> float:
        clips = models.decode(models.sample(names, work, settings)[0])
        return sum(psnr(clips[i, at], image[i]) for i in range(count)) / count

    first = models.encode_still(ends[:, 0])
    scores["first"] = fixed(replace(clip, held=first), ends[:, 0], 0)
    last = ((96, models.encode_still(ends[:, 1])),)
    scores["last with first"] = fixed(replace(clip, held=first, stills=last), ends[:, 1], -1)
    scores["last alone"] = fixed(replace(clip, stills=last), ends[:, 1], -1)
    chain, sound = _truth(models, scenes, frame)
    for name, image in (("goes there", ends[:, 2]), ("steered there", _elsewhere(scenes, frame, generator))):
        work = replace(extend_pass(clip, chain, sound, 2, 10), stills=((96, models.encode_still(image)),))
        scores[f"last in extend, {name}"] = _last(models, names, chain, work, settings, image)
    return scores


def _truth(models: Models, scenes: Scenes, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """The first 97 frames of scenes as latents and audio tokens."""
    clip = render(scenes, torch.arange(97, device=models.device), frame)[0]
    chain = torch.cat([encode(models.vae, clip[i : i + 1]) for i in range(len(clip))])
    return chain, encode_mel(models.audio_vae, mel_of(bounces(scenes, 4.0, frame), 97))


def _elsewhere(scenes: Scenes, frame: Frame, generator: torch.Generator) -> torch.Tensor:
    """The same objects at other places [B, 3, H, W]."""
    others = draw_scenes(len(scenes), frame, generator)
    return _frames(replace(scenes, start=others.start), torch.zeros(1, device=scenes.start.device), frame)[
        :, 0
    ]


def _last(
    models: Models,
    names: Sequence[str],
    chain: torch.Tensor,
    work: Pass,
    settings: Settings,
    image: torch.Tensor,
) -> float:
    """PSNR of the last frame of a chain and the chunk that goes on from it."""
    chunk, _ = models.sample(names, work, settings)
    whole = torch.cat([chain, chunk[:, :, 2:]], 2)[:, :, -8:]
    clips = models.decode(whole)
    return sum(psnr(clips[i, -1], image[i]) for i in range(len(image))) / len(image)


def given_sound(models: Models, clip: Pass, settings: Settings, count: int) -> dict[str, float]:
    """How well a film keeps to a sound that is given: the sound of true clips, and their first image."""
    frame = Frame(32 * clip.height, 32 * clip.width)
    scenes = draw_scenes(count, frame, torch.Generator(models.device).manual_seed(78))
    _, sound = _truth(models, scenes, frame)
    total = Hearing()
    latents, _ = models.sample(_names(scenes), replace(clip, heard=sound, given=True), settings)
    for i in range(count):
        total += hearing(read(models.decode(latents[i : i + 1])[0]), models.play(sound[i : i + 1])[0])
    return total.rates()


def takes(models: Models, clip: Pass, settings: Settings, count: int, extends: int) -> None:
    """Long takes: motion, seams, and the sound of the first and the last chunks."""
    items = wanted()[:count] if count <= 8 else wanted()[:: 64 // count]
    take = long_take(models, [item.prompt for item in items], clip, settings, extends)
    rows, first, last, jumps = [], Hearing(), Hearing(), []
    for i in range(len(items)):
        film = models.decode(take.chain[i : i + 1])[0]
        wave = models.play(take.sound[i : i + 1])[0]
        rows.append(motion(film, take.seams, 8))
        early, late = _part(film, wave, 0, 200), _part(film, wave, len(film) - 200, len(film))
        first, last = first + hearing(*early), last + hearing(*late)
        jumps.append(_sample_jump(wave, take.seams))
    ratios, drift = (
        sorted(row.ratio for row in rows),
        sorted(row.last_speed / row.first_speed for row in rows),
    )
    parts = {
        "colour": rate([r.last_colour == w.colour for r, w in zip(rows, items, strict=True)]),
        "shape": rate([r.last_shape == w.shape for r, w in zip(rows, items, strict=True)]),
        "ratio median": ratios[len(ratios) // 2],
        "ratio max": ratios[-1],
        "within 1.25": rate([r <= 1.25 for r in ratios]),
        "slowest": drift[0],
        "fastest": drift[-1],
        "sample jump max": max(jumps),
    }
    _say(f"takes {clip.height * 32} x {extends}", parts)
    _say("  sound of the first 200 frames", first.rates())
    _say("  sound of the last 200 frames", last.rates())


def _part(film: torch.Tensor, wave: torch.Tensor, begin: int, end: int) -> tuple[Reading, torch.Tensor]:
    return read(film[begin:end]), wave[:, begin * 960 : end * 960]


def _sample_jump(wave: torch.Tensor, seams: Sequence[int]) -> float:
    """The largest step between samples within 20 ms of a seam over the 99th percentile elsewhere."""
    steps = (wave[:, 1:] - wave[:, :-1]).abs().amax(0)
    near = torch.zeros(len(steps), dtype=torch.bool)
    for seam in seams:
        near[max(0, seam * 960 - 480) : seam * 960 + 480] = True
    return float(steps[near].max() / torch.quantile(steps[~near][::7], 0.99))


def _say(what: str, scores: dict[str, float]) -> None:
    print(f"{what}: " + "  ".join(f"{name} {value:.3f}" for name, value in scores.items()), flush=True)


def _pixels(models: Models, run: Run) -> None:
    for frame in (Frame(128, 128), Frame(256, 256)):
        print(f"vae {frame}: {held_out_psnr(models.vae, run, frame):.2f} dB")
    for kind, model in ((SPATIAL, models.upsampler), (TEMPORAL, models.temporal)):
        ours, plain = upsampler_gain(models.vae, model, run, kind)
        print(f"{kind.name} {ours:.2f} dB, interpolated frames {plain:.2f} dB", flush=True)


PARTS = ("prompts", "takes", "guides", "sound", "settings", "pixels")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.train_tiny.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; left out: all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--extends", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="128 x 128 alone")
    parser.add_argument("--unmarked", action="store_true", help="without the marker of single frames")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; take some of {', '.join(PARTS)}")
    device = torch.device(options.device)
    models = load(options.checkpoint, device)
    models.marked = not options.unmarked
    with torch.no_grad():
        for part in options.parts or PARTS:
            _work(part, models, options)()


def _work(part: str, models: Models, options: argparse.Namespace) -> Callable[[], None]:
    """What a part of the evaluation does."""
    count, plain = options.count, Settings()
    sizes = (SMALL,) if options.small else (SMALL, LARGE)
    some = [
        Settings(12),
        Settings(24),
        Settings(16, 2.0, 2.0),
        Settings(16, 4.5, 4.5),
        Settings(16, 3.0, 1.0),
    ]

    def each(judge: Callable[[Pass], dict[str, float]]) -> None:
        for clip in sizes:
            _say(f"{part} {clip.height * 32}", judge(clip))

    def settings() -> None:
        for setting in some:
            _say(f"{setting}", prompts(models, SMALL, setting, 2 * count))

    work: dict[str, Callable[[], None]] = {
        "prompts": lambda: each(lambda clip: prompts(models, clip, plain, 2 * count)),
        "takes": lambda: takes(models, SMALL, plain, count, options.extends),
        "guides": lambda: each(lambda clip: stills(models, clip, plain, count)),
        "sound": lambda: each(lambda clip: given_sound(models, clip, plain, count)),
        "settings": settings,
        "pixels": lambda: _pixels(models, Run(models.device, Path(), 0, batch_scale=count / 32)),
    }
    return work[part]


if __name__ == "__main__":
    main()
