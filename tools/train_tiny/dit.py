"""Stage 2: the transformer and its text encoder, by rectified flow on banks of latents."""

from __future__ import annotations

import random
from functools import partial

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel

from actors.models.tiny_text import TinyTextEncoder
from tools.train_tiny import fast
from tools.train_tiny.bank import Bank
from tools.train_tiny.geometry import to_latents, to_tokens
from tools.train_tiny.layout import Example, draw_example, draw_plan
from tools.train_tiny.modules import new_text_encoder, new_transformer
from tools.train_tiny.prompts import PromptPool
from tools.train_tiny.training import Average, Clock, Run, State, cosine, save
from tools.train_tiny.world import Frame

SIZES = (
    (128, 128, 0.50, 16384),
    (256, 256, 0.32, 3072),
    (128, 192, 0.07, 1536),
    (192, 128, 0.06, 1536),
    (192, 192, 0.05, 1024),
)
"""height, width, share of the steps, videos in the bank."""
TOKENS_PER_BATCH = 52_000


def predict(
    model: LTXVideoTransformer3DModel,
    text: tuple[torch.Tensor, torch.Tensor],
    x: torch.Tensor,
    sigma: torch.Tensor,
    coords: torch.Tensor,
) -> torch.Tensor:
    """Velocity [B, C, T, h, w] of latents `x` whose slots have noise levels `sigma` [B, T]."""
    height, width = x.shape[3:]
    timestep = (sigma * 1000).repeat_interleave(height * width, dim=1)
    tokens = model(
        hidden_states=to_tokens(x),
        encoder_hidden_states=text[0],
        timestep=timestep,
        encoder_attention_mask=text[1].to(x.dtype),
        video_coords=coords,
        return_dict=False,
    )[0]
    return to_latents(tokens, height, width)


def fill_banks(vae: AutoencoderKLLTXVideo, run: Run, seconds: float) -> list[Bank]:
    """One bank per size; each gets its share of the time."""
    generator = torch.Generator(run.device).manual_seed(run.seed + 1)
    banks = []
    for height, width, _, capacity in SIZES:
        bank = Bank.empty(Frame(height, width), max(4, round(capacity * run.batch_scale)), run.device)
        share = 0.45 if (height, width) == (128, 128) else 0.31 if (height, width) == (256, 256) else 0.08
        bank.fill(vae, seconds * share, generator, run)
        banks.append(bank)
    return banks


def noise_levels(count: int, tokens: int, device: torch.device) -> torch.Tensor:
    """Training sigmas [B]: logit-normal with the schedule's token-dependent shift, one in five uniform."""
    shift = 0.5 + (tokens / 3072) * 1.1
    normal = torch.sigmoid(torch.randn(count, device=device) + shift)
    return torch.where(torch.rand(count, device=device) < 0.2, torch.rand(count, device=device), normal)


def train_dit(
    run: Run, vae: AutoencoderKLLTXVideo, banks: list[Bank], start: dict[str, State] | None = None
) -> tuple[LTXVideoTransformer3DModel, TinyTextEncoder]:
    """Train for `run.seconds`, store `dit.pt`, and return the averaged transformer and text encoder."""
    model, text = new_transformer().to(run.device), new_text_encoder().to(run.device)
    if start is not None:
        model.load_state_dict(start["transformer"])
        text.load_state_dict(start["text_encoder"])
    both = torch.nn.ModuleList([model, text])
    peak = run.peak_lr or 1e-3
    optimizer = torch.optim.AdamW(
        both.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    average = Average(both, 0.999)
    rng, pool = random.Random(run.seed), PromptPool(run.device)
    generator = torch.Generator(run.device).manual_seed(run.seed + 2)
    torch.manual_seed(run.seed + 3)
    clock = Clock(run.seconds, run.limit_steps)
    smooth = None
    for step in clock.ticks():
        bank = banks[step % len(banks)] if step < 10 else rng.choices(banks, [s[2] for s in SIZES])[0]
        plan = draw_plan(rng)
        height, width = bank.frame.height // 32, bank.frame.width // 32
        count = run.batch(max(8, TOKENS_PER_BATCH // ((plan.slots + 2) * height * width) // 8 * 8))
        example = draw_example(plan, bank, count, pool)
        imitate = plan.extends and rng.random() < 0.3 and (clock.progress > 0.35 or step < 10)
        loss = _loss(run, model, text, example, imitate)
        for group in optimizer.param_groups:
            group["lr"] = peak * cosine(clock.progress)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        average.update()
        smooth = loss.detach() if smooth is None else torch.lerp(smooth, loss.detach(), 0.02)
        if step == 25:
            clock.restart()
        if step % 16 == 0:
            target = banks[rng.choices(range(len(banks)), [0.7, 0.15, 0.05, 0.05, 0.05])[0]]
            target.add(
                vae,
                run.batch(max(2, 8 * 128 * 128 // (target.frame.height * target.frame.width))),
                generator,
                run,
            )
        clock.report(partial(_said, smooth))
        clock.save(
            lambda: save(
                run.folder / "dit-live.pt",
                {"transformer": model.state_dict(), "text_encoder": text.state_dict()},
            )
        )
    average.swap()
    save(run.folder / "dit.pt", {"transformer": model.state_dict(), "text_encoder": text.state_dict()})
    return model.eval().requires_grad_(False), text.eval().requires_grad_(False)


def _said(loss: torch.Tensor) -> str:
    return f"loss {loss.item():.4f}"


def _loss(
    run: Run, model: LTXVideoTransformer3DModel, text: TinyTextEncoder, example: Example, imitate: bool
) -> torch.Tensor:
    """Mean squared velocity error over the sampled slots."""
    clean, mask = example.clean, example.mask
    count = len(clean)
    sigma = noise_levels(count, clean[0, 0].numel(), clean.device)
    with run.autocast:
        words = text(example.ids)
        shown = _disturbed(model, words, example, imitate)
        levels = mask * sigma[:, None]
        noise = torch.randn_like(clean)
        at = levels[:, None, :, None, None]
        velocity = fast.velocity(model, words, (1 - at) * shown + at * noise, levels, example.coords)
    slots = example.slots
    sampled = (mask[:, :slots] == 1).float()[:, None, :, None, None]
    error = (velocity.float() - (noise - clean))[:, :, :slots].square() * sampled
    return error.sum() / (sampled.sum() * clean.shape[1] * clean.shape[3] * clean.shape[4])


def _disturbed(
    model: LTXVideoTransformer3DModel,
    words: tuple[torch.Tensor, torch.Tensor],
    example: Example,
    imitate: bool,
) -> torch.Tensor:
    """The latents with undisclosed faults in what is known, as a long chain of extends accumulates them.

    Half of the examples get noise; with `imitate`, the overlap is the model's own estimate from a noised
    window.
    """
    shown, slots = example.clean, example.slots
    if imitate:
        with torch.no_grad():
            sigma = 0.2 + 0.45 * torch.rand(len(shown), 1, device=shown.device)
            at = sigma[..., None, None, None]
            window = shown[:, :, :slots]
            tokens = slots * shown.shape[3] * shown.shape[4]
            noisy = (1 - at) * window + at * torch.randn_like(window)
            detached = (words[0].detach(), words[1])
            guess = (
                noisy
                - at
                * fast.velocity(
                    model, detached, noisy, sigma.expand(-1, slots), example.coords[:, :, :tokens]
                ).float()
            )
            width = example.overlap_at.stop - example.overlap_at.start
            shown = shown.clone()
            shown[:, :, example.overlap_at] = guess[:, :, :width]
    strength = (
        0.15
        * torch.rand(len(shown), 1, device=shown.device)
        * (torch.rand(len(shown), 1, device=shown.device) < 0.5)
    )
    fault = torch.where(example.mask < 1, strength, torch.zeros_like(strength))
    return shown + fault[:, None, :, None, None] * torch.randn_like(shown)
