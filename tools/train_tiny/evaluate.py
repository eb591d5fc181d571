"""Judges a checkpoint on its training device: prompts, guides, sound, long takes. Reads the exported file, as
users do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from actors.models.tiny_words import TinyTokenizer
from tools.train_tiny.coders.upsampler import SPATIAL, TEMPORAL, upsampler_gain
from tools.train_tiny.coders.vae import held_out_psnr
from tools.train_tiny.export import unpacked
from tools.train_tiny.judge import codec, given_sound, prompts, say, stills, takes
from tools.train_tiny.modules import (
    new_audio_vae,
    new_temporal_upsampler,
    new_transformer,
    new_upsampler,
    new_vae,
    new_vocoder,
    text_config,
)
from tools.train_tiny.procedural.world import Frame
from tools.train_tiny.sampler import Models, Pass, Settings
from tools.train_tiny.training import Run
from tools.train_tiny.transformer.flow import Words

SMALL, LARGE = Pass(13, 4, 4), Pass(13, 8, 8)


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


def _pixels(models: Models, run: Run) -> None:
    for frame in (Frame(128, 128), Frame(256, 256)):
        print(f"vae {frame}: {held_out_psnr(models.vae, run, frame):.2f} dB")
    for kind, model in ((SPATIAL, models.upsampler), (TEMPORAL, models.temporal)):
        ours, plain = upsampler_gain(models.vae, model, run, kind)
        print(f"{kind.name} {ours:.2f} dB, interpolated frames {plain:.2f} dB", flush=True)


PARTS = ("prompts", "takes", "guides", "sound", "settings", "pixels", "codec")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.train_tiny.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; left out: all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--extends", type=int, default=20)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--modality", type=float, default=1.0, help="guidance of each stream by the other")
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
    count, plain = options.count, Settings(options.steps, modality=options.modality)
    sizes = (SMALL,) if options.small else (SMALL, LARGE)
    some = [
        Settings(12),
        Settings(24),
        Settings(16, 2.0, 2.0),
        Settings(16, 4.5, 4.5),
        Settings(16, 3.0, 1.0),
        Settings(16, modality=3.0),
    ]

    def each(judge: Callable[[Pass], dict[str, float]]) -> None:
        for clip in sizes:
            say(f"{part} {clip.height * 32}", judge(clip))

    def settings() -> None:
        for setting in some:
            say(f"{setting}", prompts(models, SMALL, setting, 2 * count))

    work: dict[str, Callable[[], None]] = {
        "codec": lambda: codec(models, SMALL, 2 * count),
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
