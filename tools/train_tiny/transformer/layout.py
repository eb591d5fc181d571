"""Training examples of the transformer: which window of a film is sampled, what is known of its picture and
its sound, and how it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import torch

from tools.train_tiny.procedural.prompts import UNNAMED, PromptPool
from tools.train_tiny.procedural.sound import LATENTS_PER_S, audio_latents
from tools.train_tiny.transformer.bank import SLOTS, SWAYING, Bank
from tools.train_tiny.transformer.geometry import grid, slot_middle, sound_middle, still_middle

MARKED = 0.6
"""Share of the examples that mark single frames: engines without the marker must do as well."""


class Head(Enum):
    """What stands in an Extend's slot 0, which covers one frame: the chain's latent of eight frames, a still
    of that frame, or nothing, so that every latent stands where it stood in the chain.
    """

    CHAIN = "chain"
    STILL = "still"
    NONE = "none"


@dataclass(frozen=True)
class Plan:
    """What one batch shares. Slots 0 .. `overlap` are known in place (0 = Generate), `tail` slots at the end
    too; `stills` images guide, `keyframes` marked stills are made beside the clip.

    `first`: slot 0 of a Generate is a known image. `heard`: the sound is given. `seen`: the picture is given.
    `apart`: picture and sound do not attend to each other.
    """

    slots: int
    overlap: int = 0
    head: Head = Head.CHAIN
    first: bool = False
    stills: int = 0
    keyframes: int = 0
    tail: int = 0
    heard: bool = False
    seen: bool = False
    apart: bool = False

    @property
    def extends(self) -> bool:
        return self.overlap > 0

    @property
    def skipped(self) -> int:
        """Slots at the start that have no tokens."""
        return int(self.extends and self.head is Head.NONE)

    @property
    def shown(self) -> int:
        """Latent frames shown, appended ones included."""
        return self.slots - self.skipped + self.stills + self.keyframes

    @property
    def new_slots(self) -> int:
        return self.slots - self.overlap - self.tail

    @property
    def known(self) -> int:
        """Shown slots at the start that are known."""
        return self.overlap - self.skipped if self.extends else int(self.first)

    @property
    def steered(self) -> bool:
        """Whether something known says where the object has to be later."""
        return self.stills > 0 or self.tail > 0


_GO, _ON, _CUT = Plan(13), Plan(13, 3, Head.NONE), Plan(13, 3, Head.STILL)
PLANS: tuple[tuple[Plan, float], ...] = (
    (_GO, 0.14),
    (replace(_GO, first=True), 0.06),
    (replace(_GO, stills=1), 0.04),
    (replace(_GO, first=True, stills=1), 0.06),
    (replace(_GO, first=True, stills=2), 0.02),
    (replace(_GO, heard=True), 0.05),
    (replace(_GO, seen=True), 0.1),
    (replace(_GO, apart=True), 0.02),
    (replace(_GO, first=True, keyframes=1), 0.02),
    (replace(_GO, first=True, tail=2), 0.02),
    (Plan(7), 0.02),
    (Plan(7, first=True), 0.01),
    (Plan(3), 0.01),
    (Plan(17), 0.02),
    (_ON, 0.12),
    (replace(_ON, stills=1), 0.06),
    (replace(_ON, keyframes=1), 0.02),
    (replace(_ON, heard=True), 0.03),
    (Plan(12, 2, Head.NONE), 0.02),
    (Plan(15, 5, Head.NONE), 0.02),
    (Plan(7, 3, Head.NONE), 0.01),
    (Plan(12, 2, Head.CHAIN), 0.04),
    (Plan(12, 2, Head.CHAIN, stills=1), 0.02),
    (_CUT, 0.04),
    (replace(_CUT, stills=1), 0.02),
    (replace(_CUT, keyframes=1), 0.01),
)
"""Generate, guides and Extend with their shares of the steps. Few shapes, since each is recorded once;
between them lie the others.
"""


@dataclass(frozen=True)
class Example:
    """A batch. `clean` [B, C, T, h, w] holds the window's latents, then what is appended; `mask` [B, T] is
    the denoise mask (1 = sampled, m < 1 = known up to noise m * sigma); `coords` [B, 3, tokens] and `marks`
    [B, T] as the transformer takes them. `sound` [B, L, 128], `sound_mask` [B, L] and `sound_coords` [B, L]
    likewise. `ids` [B, W] are the prompts.
    """

    clean: torch.Tensor
    mask: torch.Tensor
    coords: torch.Tensor
    marks: torch.Tensor
    sound: torch.Tensor
    sound_mask: torch.Tensor
    sound_coords: torch.Tensor
    ids: torch.Tensor


def draw_example(plan: Plan, bank: Bank, count: int, pool: PromptPool) -> Example:
    """Cut `count` windows for `plan` out of `bank`."""
    device, rate = bank.latents.device, bank.format.rate
    film = _films(plan, bank, count)
    start = torch.zeros_like(film)
    if plan.extends:
        start = torch.randint(SLOTS - plan.slots + 1, (count,), device=device)
    known = torch.where(torch.rand(count, device=device) < 0.85, 0.0, 0.3 * torch.rand(count, device=device))
    clean, mask, middle, marks = _picture(plan, bank, film, start, known)
    height, width = clean.shape[3:]
    sound, sound_mask, shift_s = _sound(plan, bank, film, start, known)
    ids = _prompts(plan, bank.facts[film], pool)
    return Example(
        clean.float(),
        torch.zeros_like(mask) if plan.seen else mask,
        grid(middle / rate, height, width),
        marks,
        sound.float(),
        sound_mask,
        sound_middle(sound.shape[1], shift_s),
        ids,
    )


def _films(plan: Plan, bank: Bank, count: int) -> torch.Tensor:
    """Films [B] to cut from: bent ones only where something known says where the path leads, there half."""
    device = bank.latents.device
    any_film = torch.randint(len(bank), (count,), device=device)
    straight = torch.where(any_film % SWAYING == 0, (any_film + 1) % len(bank), any_film)
    if not plan.steered:
        return straight
    bent = any_film // SWAYING * SWAYING
    return torch.where(torch.rand(count, device=device) < 0.5, bent, straight)


def _picture(
    plan: Plan, bank: Bank, film: torch.Tensor, start: torch.Tensor, known: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents [B, C, T, h, w], their mask, their middles in frames and their marks [B, T]."""
    device, count = film.device, len(film)
    slots = torch.arange(plan.skipped, plan.slots, device=device)
    window = _take(bank.latents, film, start[:, None] + slots)
    if plan.extends and plan.head is Head.STILL:
        window = torch.cat([_take(bank.stills, film, start[:, None]), window[:, :, 1:]], 2)
    mask = torch.ones(count, len(slots), device=device)
    mask[:, : plan.known] = known[:, None]
    if plan.tail:
        mask[:, -plan.tail :] = known[:, None]
    marks = torch.zeros_like(mask)
    if not plan.skipped:
        marks[:, 0] = 1.0
    pieces, masks, middles = [window], [mask], [slot_middle(slots).expand(count, -1)]
    for number, held in ((plan.stills, True), (plan.keyframes, False)):
        if number:
            at = _still_slots(plan, count, number, held, device)
            pieces.append(_take(bank.stills, film, start[:, None] + at))
            middles.append(still_middle(8.0 * at))
            masks.append(
                known[:, None].expand(-1, number) if held else torch.ones(count, number, device=device)
            )
            marks = torch.cat([marks, torch.ones(count, number, device=device)], 1)
    told = torch.rand(count, 1, device=device) < (1.0 if plan.keyframes else MARKED)
    return torch.cat(pieces, 2), torch.cat(masks, 1), torch.cat(middles, 1), marks * told


def _sound(
    plan: Plan, bank: Bank, film: torch.Tensor, start: torch.Tensor, known: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Audio latents [B, L, 128], their mask [B, L], and by how many seconds [B] their grid is late."""
    rate, device = bank.format.rate, film.device
    count = audio_latents(8 * plan.slots - 7, rate)
    begin_s = 8.0 * start / rate
    first = (begin_s * LATENTS_PER_S).round().long()
    places = (first[:, None] + torch.arange(count, device=device)).clamp(max=bank.format.audio - 1)
    mask = torch.ones(len(film), count, device=device)
    if plan.extends:
        mask[:, : audio_latents(8 * plan.overlap - 7, rate)] = known[:, None]
    if plan.heard:
        mask = torch.zeros_like(mask)
    return bank.sounds[film[:, None], places], mask, first / LATENTS_PER_S - begin_s


def _take(latents: torch.Tensor, film: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """latents[film[b], :, slots[b]] as [B, C, len, h, w]."""
    return latents[film[:, None], :, slots].transpose(1, 2)


def _still_slots(plan: Plan, count: int, number: int, held: bool, device: torch.device) -> torch.Tensor:
    """Slots [B, number] whose last frame is shown as a still: mostly the last one where it guides."""
    low, last = max(plan.overlap, 1), plan.slots - 1
    middle = low + (torch.rand(count, number, device=device) * (last - low + 1)).long()
    middle = middle.clamp(max=last)
    ends = torch.rand(count, number, device=device) < (0.7 if held else 0.4)
    ends = ends & (torch.arange(number, device=device) == number - 1)
    return torch.where(ends, last, middle)


def _prompts(plan: Plan, facts: torch.Tensor, pool: PromptPool) -> torch.Tensor:
    """Sentences that say the film's first direction, or none, or (for Extend) only part of what is seen."""
    count, device = len(facts), facts.device
    silent = torch.rand(count, device=device) < 0.15
    facts = facts.clone()
    facts[:, 3] = torch.where(silent, UNNAMED, facts[:, 3])
    null = torch.rand(count, device=device) < 0.1
    partial = torch.rand(count, device=device) < (0.15 if plan.extends else 0.0)
    return pool.draw(facts, partial, null)
