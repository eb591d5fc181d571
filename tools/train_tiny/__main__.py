"""`python -m tools.train_tiny STAGE --out FOLDER`: train one stage, or export what has been trained.

Stages, in order: vae, dit, upsampler, export, evaluate. Each reads what the stages before it left in FOLDER.
`unpack` leaves there what made the bundled file, to go on from: `dit --resume FOLDER/dit.pt --diet polish`.
The bundled weights took 260, 780 and 110 seconds of one H100.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKLLTXVideo

from actors.models import TINY_CHECKPOINT
from tools.train_tiny.dit import DIETS, train_dit
from tools.train_tiny.export import export, unpack
from tools.train_tiny.modules import new_vae
from tools.train_tiny.training import Run
from tools.train_tiny.upsampler import train_upsampler
from tools.train_tiny.vae import fuse_norms, train_vae


def main() -> None:
    options = _parser().parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    device = torch.device(options.device)
    run = Run(
        device,
        options.out,
        options.seconds,
        options.batch_scale,
        options.seed,
        options.lr,
        options.limit_steps,
        options.channels_last,
        options.diet,
    )
    start = time.perf_counter()
    {"vae": _vae, "dit": _dit, "upsampler": _upsampler, "export": _export, "unpack": _unpack}[options.stage](
        run, options
    )
    print(f"{options.stage}: {time.perf_counter() - start:.1f} s", flush=True)


def _vae(run: Run, options: argparse.Namespace) -> None:
    train_vae(run, _stored(options.resume, "vae") if options.resume else None, options.decoder_only)


def _dit(run: Run, options: argparse.Namespace) -> None:
    train_dit(run, stored_vae(run), torch.load(options.resume) if options.resume else None)


def _upsampler(run: Run, options: argparse.Namespace) -> None:
    train_upsampler(
        run, stored_vae(run), _stored(options.resume, "latent_upsampler") if options.resume else None
    )


def _export(run: Run, options: argparse.Namespace) -> None:
    states = {}
    for name in ("vae", "dit", "upsampler"):
        states.update(torch.load(run.folder / f"{name}.pt"))
    export(states, run.folder / "tiny-ltx.safetensors")


def _unpack(run: Run, options: argparse.Namespace) -> None:
    unpack(TINY_CHECKPOINT, run.folder)


def _stored(path: Path, component: str) -> dict[str, torch.Tensor]:
    states: dict[str, dict[str, torch.Tensor]] = torch.load(path)
    return states[component]


def stored_vae(run: Run) -> AutoencoderKLLTXVideo:
    """The trained VAE, frozen."""
    fuse_norms()
    vae = new_vae()
    vae.load_state_dict(_stored(run.folder / "vae.pt", "vae"))
    vae = vae.to(run.device, memory_format=run.memory_format)
    return vae.eval().requires_grad_(False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.train_tiny", description=__doc__)
    parser.add_argument("stage", choices=("vae", "dit", "upsampler", "export", "unpack"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=480, help="training time of this stage")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-scale", type=float, default=1.0, help="multiplies every batch and bank size")
    parser.add_argument("--limit-steps", type=int, default=10**9)
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--resume", type=Path, help="state file of this stage to start from")
    parser.add_argument(
        "--diet",
        choices=tuple(DIETS),
        default="whole",
        help="the transformer's; polish improves a good one",
    )
    parser.add_argument("--decoder-only", action="store_true", help="polish the decoder and keep the latents")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
