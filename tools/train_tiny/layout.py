"""Training examples of the transformer: which window of a video is sampled, what is known of it, and how it
is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tools.train_tiny.bank import SLOTS, Bank
from tools.train_tiny.geometry import coords_at, rope, slot_coords, slot_frame
from tools.train_tiny.prompts import UNNAMED, PromptPool


@dataclass(frozen=True)
class Plan:
    """What one batch shares. `overlap` latents are known at position 0 (0 = Generate), `stills` images guide.

    `in_place`: the overlap (or, for Generate, the first image) stands in its own slots instead of appended
    tokens.
    """

    slots: int
    overlap: int
    stills: int
    in_place: bool

    @property
    def extends(self) -> bool:
        return self.overlap > 0

    @property
    def new_slots(self) -> int:
        return self.slots - self.overlap

    @property
    def tokens(self) -> int:
        """Latent frames shown, appended ones included."""
        return self.slots + self.stills + (0 if self.in_place else self.overlap)

    @property
    def known(self) -> int:
        """Slots known in place."""
        return max(self.overlap, 1) if self.in_place else 0


PLANS: tuple[tuple[Plan, float], ...] = (
    (Plan(13, 0, 0, False), 0.26),
    (Plan(13, 0, 1, False), 0.10),
    (Plan(13, 0, 2, False), 0.05),
    (Plan(13, 0, 0, True), 0.03),
    (Plan(7, 0, 0, False), 0.03),
    (Plan(7, 0, 1, False), 0.02),
    (Plan(3, 0, 0, False), 0.02),
    (Plan(17, 0, 0, False), 0.02),
    (Plan(10, 0, 3, False), 0.01),
    (Plan(12, 2, 0, False), 0.20),
    (Plan(12, 2, 1, False), 0.05),
    (Plan(12, 2, 0, True), 0.02),
    (Plan(11, 1, 0, False), 0.03),
    (Plan(13, 3, 0, False), 0.04),
    (Plan(14, 4, 0, False), 0.04),
    (Plan(6, 2, 0, False), 0.03),
    (Plan(4, 1, 0, False), 0.02),
    (Plan(16, 2, 0, False), 0.02),
    (Plan(9, 4, 1, False), 0.01),
)
"""Generate, image guides and Extend in the mix that the farm asks for, with their shares of the steps. Few
shapes, since each is recorded once; between them lie the others.
"""


@dataclass(frozen=True)
class Example:
    """A batch. `clean` [B, C, T+G, h, w] holds the window's latents, then the appended guides.

    `mask` [B, T+G] is the denoise mask (1 = sampled, m < 1 = known up to noise m * sigma); `coords` [B, 3,
    tokens] is in the rope's units; `ids` [B, L] are the prompts; `slots` = T.
    """

    clean: torch.Tensor
    mask: torch.Tensor
    coords: torch.Tensor
    ids: torch.Tensor
    slots: int
    overlap_at: slice


def draw_example(plan: Plan, bank: Bank, count: int, pool: PromptPool) -> Example:
    """Cut `count` windows for `plan` out of `bank`."""
    device = bank.latents.device
    video = torch.randint(len(bank), (count,), device=device)
    start = (
        torch.randint(SLOTS - plan.slots + 1, (count,), device=device)
        if plan.extends
        else torch.zeros_like(video)
    )
    window = _take(bank.latents, video, start[:, None] + torch.arange(plan.slots, device=device))
    pieces, frames = [window], []
    known_m = torch.where(
        torch.rand(count, device=device) < 0.85, 0.0, 0.3 * torch.rand(count, device=device)
    )
    mask = [torch.ones(count, plan.slots, device=device)]
    mask[0][:, : plan.known] = known_m[:, None]
    if plan.extends and not plan.in_place:
        pieces.append(window[:, :, : plan.overlap])
        frames.append(slot_frame(torch.arange(plan.overlap, device=device)).expand(count, -1))
        mask.append(known_m[:, None].expand(-1, plan.overlap))
    if plan.stills:
        slots = _still_slots(plan, count, device)
        pieces.append(_take(bank.stills, video, start[:, None] + slots))
        frames.append(8 * slots)
        mask.append(known_m[:, None].expand(-1, plan.stills))
    height, width = window.shape[3:]
    coords = slot_coords(plan.slots, height, width, device).expand(count, -1, -1)
    if frames:
        coords = torch.cat([coords, coords_at(torch.cat(frames, 1), height, width)], dim=2)
    overlap_at = slice(0, plan.known) if plan.in_place else slice(plan.slots, plan.slots + plan.overlap)
    ids = _prompts(plan, bank.facts[video], pool)
    return Example(
        torch.cat(pieces, 2).float(), torch.cat(mask, 1), rope(coords), ids, plan.slots, overlap_at
    )


def _take(latents: torch.Tensor, video: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """latents[video[b], :, slots[b]] as [B, C, len, h, w]."""
    return latents[video[:, None], :, slots].transpose(1, 2)


def _still_slots(plan: Plan, count: int, device: torch.device) -> torch.Tensor:
    """Slots [B, stills] whose last frame is shown as an image: first, last and middle ones."""
    last = plan.slots - 1
    low = max(plan.overlap, 1)
    draw = torch.rand(count, plan.stills, device=device)
    middle = (low + (torch.rand(count, plan.stills, device=device) * (last - low + 1)).long()).clamp(max=last)
    if plan.extends:
        return torch.where(draw < 0.6, last, middle)
    column = torch.arange(plan.stills, device=device)
    first = (column == 0) & (draw < (0.65 if plan.stills == 1 else 0.85))
    ends = (column == plan.stills - 1) & (draw < 0.65)
    if plan.stills == 1:
        ends = (draw >= 0.65) & (draw < 0.85)
    return torch.where(first, 0, torch.where(ends, last, middle))


def _prompts(plan: Plan, facts: torch.Tensor, pool: PromptPool) -> torch.Tensor:
    """Sentences that say the video's first direction, or none, or (for Extend) only part of what is seen."""
    count, device = len(facts), facts.device
    silent = torch.rand(count, device=device) < 0.15
    facts = facts.clone()
    facts[:, 3] = torch.where(silent, UNNAMED, facts[:, 3])
    null = torch.rand(count, device=device) < 0.1
    partial = torch.rand(count, device=device) < (0.15 if plan.extends else 0.0)
    return pool.draw(facts, partial, null)
