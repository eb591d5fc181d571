"""`python -m tools.train_tiny STAGE --out FOLDER`: train one stage, or export what has been trained.

Stages: vae and audio_vae need nothing; vocoder needs the audio_vae; upsampler and temporal need the vae; dit
needs both VAEs; export needs all. Each leaves its components in FOLDER. Several GPUs train the transformer
together: `torchrun --nproc-per-node 4 -m tools.train_tiny dit --out FOLDER`. `inherit --parent FILE` makes a
first transformer out of a tiny LTX-Video file. `unpack` leaves in FOLDER what an LTX-2 file holds, to go on
from: `dit --resume --diet polish`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from actors.models import TINY_CHECKPOINT
from tools.train_tiny.coders.audio_vae import train_audio_vae
from tools.train_tiny.coders.upsampler import KINDS, train_upsampler
from tools.train_tiny.coders.vae import fuse_norms, train_vae
from tools.train_tiny.coders.vocoder import train_vocoder
from tools.train_tiny.export import export, unpack
from tools.train_tiny.modules import new_audio_vae, new_vae
from tools.train_tiny.training import Run, State, stored
from tools.train_tiny.transformer.bank import Codecs
from tools.train_tiny.transformer.dit import DIETS, train_dit
from tools.train_tiny.transformer.inherit import inherit

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTXVideo

Stage = Callable[[Run, argparse.Namespace], object]


def main() -> None:
    options = _parser().parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    run = _run(options)
    torch.manual_seed(run.seed + run.rank)
    start = time.perf_counter()
    _STAGES[options.stage](run, options)
    print(f"{options.stage}: {time.perf_counter() - start:.1f} s", flush=True)
    if run.ranks > 1:
        dist.destroy_process_group()


def _run(options: argparse.Namespace) -> Run:
    """The run, with the other ranks joined where torchrun started several."""
    ranks, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = torch.device(options.device)
    if ranks > 1:
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Run(
        device,
        options.out,
        options.seconds,
        options.batch_scale,
        options.seed,
        options.lr,
        options.limit_steps,
        options.channels_last,
        options.diet,
        rank,
        ranks,
    )


def _vae(run: Run, options: argparse.Namespace) -> None:
    train_vae(run, _own(run, "vae", options), options.decoder_only)


def _upsampler(name: str, run: Run, options: argparse.Namespace) -> None:
    train_upsampler(run, video_vae(run), KINDS[name], _own(run, KINDS[name].name, options))


def _dit(run: Run, options: argparse.Namespace) -> None:
    names = ["transformer", "text_encoder", "connectors"]
    start = {name: state for name in names if (state := _own(run, name, options))}
    train_dit(run, Codecs(video_vae(run), audio_vae(run)), start)


def _own(run: Run, component: str, options: argparse.Namespace) -> State | None:
    """The stage's own state to go on from, where `--resume` asks for it and it is there."""
    there = (run.folder / f"{component}.safetensors").exists()
    return stored(run.folder, component) if options.resume and there else None


_STAGES: dict[str, Stage] = {
    "vae": _vae,
    "audio_vae": lambda run, _: train_audio_vae(run),
    "vocoder": lambda run, _: train_vocoder(run, audio_vae(run)),
    **{name: partial(_upsampler, name) for name in KINDS},
    "dit": _dit,
    "export": lambda run, _: export(run.folder, run.folder / "tiny-ltx.safetensors"),
    "unpack": lambda run, _: unpack(TINY_CHECKPOINT, run.folder),
    "inherit": lambda run, options: inherit(options.parent, run.folder),
}


def video_vae(run: Run) -> AutoencoderKLLTXVideo:
    """The trained video VAE, frozen."""
    fuse_norms()
    vae = new_vae()
    vae.load_state_dict(stored(run.folder, "vae"))
    vae = vae.to(run.device, memory_format=run.memory_format)
    return vae.eval().requires_grad_(False)


def audio_vae(run: Run) -> AutoencoderKLLTX2Audio:
    """The trained audio VAE, frozen."""
    vae = new_audio_vae()
    vae.load_state_dict(stored(run.folder, "audio_vae"))
    return vae.to(run.device).eval().requires_grad_(False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.train_tiny", description=__doc__)
    parser.add_argument("stage", choices=tuple(_STAGES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=480, help="training time of this stage")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-scale", type=float, default=1.0, help="multiplies every batch and bank size")
    parser.add_argument("--limit-steps", type=int, default=10**9)
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--resume", action="store_true", help="go on from what FOLDER holds of this stage")
    parser.add_argument(
        "--diet",
        choices=tuple(DIETS),
        default="whole",
        help="the transformer's; polish improves a good one",
    )
    parser.add_argument("--decoder-only", action="store_true", help="polish the decoder and keep the latents")
    parser.add_argument("--parent", type=Path, help="LTX-Video file that `inherit` starts from")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
