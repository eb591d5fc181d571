"""What an exported model is judged by on its training device: prompts, guides, sound, long takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks.tiny.detector import Reading, read
from benchmarks.tiny.scores import Hearing, Wanted, hearing, motion, prompt_scores, psnr, rate
from tools.train_tiny.coders.audio_vae import encode_mel
from tools.train_tiny.procedural.prompts import UNNAMED, HeldOut, held_out
from tools.train_tiny.procedural.sound import OUTPUT_RATE, bounces, mel_of, synthesise
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
from tools.train_tiny.sampler import Models, Pass, Settings, extend_pass
from tools.train_tiny.transformer.bank import encode


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


def codec(models: Models, clip: Pass, count: int) -> None:
    """What the listener makes of true clips: as they sound, and through audio VAE and vocoder. No model can
    be heard better.
    """
    frame = Frame(32 * clip.height, 32 * clip.width)
    scenes = draw_scenes(count, frame, torch.Generator(models.device).manual_seed(79))
    notes, frames = bounces(scenes, 4.0, frame), torch.arange(97, device=models.device)
    plain = synthesise(notes, 97 * OUTPUT_RATE // 25, OUTPUT_RATE).cpu()
    sound = encode_mel(models.audio_vae, mel_of(notes, 97))
    true, coded = Hearing(), Hearing()
    for i in range(count):
        reading = read(_frames(scenes.pick(slice(i, i + 1)), frames, frame)[0])
        true += hearing(reading, plain[i])
        coded += hearing(reading, models.play(sound[i : i + 1])[0])
    say("codec: true sound", true.rates())
    say("  through audio VAE and vocoder", coded.rates())


@dataclass(frozen=True)
class Take:
    """A long take: its latents, its audio tokens, and the latents at which its chunks begin."""

    chain: torch.Tensor
    sound: torch.Tensor
    starts: tuple[int, ...]

    @property
    def seams(self) -> list[int]:
        """First frame of every chunk after the first."""
        return [8 * start - 7 for start in self.starts]


def long_take(
    models: Models,
    prompts: Sequence[str],
    clip: Pass,
    settings: Settings,
    extends: int,
    *,
    overlap: int = 2,
    new: int = 10,
) -> Take:
    """Generate, then `extends` times Extend: the last `overlap` latents and their sound are held where they
    stood.
    """
    chain, sound = models.sample(prompts, clip, settings)
    starts = []
    for _ in range(extends):
        work = extend_pass(clip, chain, sound, overlap, new)
        starts.append(chain.shape[2])
        chunk, heard = models.sample(prompts, work, settings)
        chain = torch.cat([chain, chunk[:, :, overlap:]], 2)
        sound = torch.cat([sound, heard[:, work.heard.shape[1] :]], 1)  # type: ignore[union-attr]
    return Take(chain, sound, tuple(starts))


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
    say(f"takes {clip.height * 32} x {extends}", parts)
    say("  sound of the first 200 frames", first.rates())
    say("  sound of the last 200 frames", last.rates())


def _part(film: torch.Tensor, wave: torch.Tensor, begin: int, end: int) -> tuple[Reading, torch.Tensor]:
    return read(film[begin:end]), wave[:, begin * 960 : end * 960]


def _sample_jump(wave: torch.Tensor, seams: Sequence[int]) -> float:
    """The largest step between samples within 20 ms of a seam over the 99th percentile elsewhere."""
    steps = (wave[:, 1:] - wave[:, :-1]).abs().amax(0)
    near = torch.zeros(len(steps), dtype=torch.bool)
    for seam in seams:
        near[max(0, seam * 960 - 480) : seam * 960 + 480] = True
    return float(steps[near].max() / torch.quantile(steps[~near][::7], 0.99))


def say(what: str, scores: dict[str, float]) -> None:
    print(f"{what}: " + "  ".join(f"{name} {value:.3f}" for name, value in scores.items()), flush=True)
