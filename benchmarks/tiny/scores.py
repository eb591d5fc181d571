"""Scores of clips and films against what their prompts say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.tiny.detector import Reading, read
from benchmarks.tiny.listener import Heard, notes
from tools.train_tiny.procedural.world import SPEED_PER_FRAME


@dataclass(frozen=True)
class Wanted:
    """What a prompt says; `direction` is None where it names none."""

    prompt: str
    colour: str
    shape: str
    background: str
    direction: str | None


@dataclass(frozen=True)
class Motion:
    """How a film moves. Steps are distances between neighbouring frames in units of the world's constant
    speed; `jump_at` is the frame before the largest one near a seam.
    """

    seam_jump: float
    jump_at: int
    elsewhere_p99: float
    first_speed: float
    last_speed: float
    last_colour: str
    last_shape: str

    @property
    def ratio(self) -> float:
        return self.seam_jump / self.elsewhere_p99


def rate(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def prompt_scores(wanted: Sequence[Wanted], readings: Sequence[Reading]) -> dict[str, float]:
    """Shares in [0, 1] of clips whose colour, shape, background and first direction are as prompted."""
    pairs = list(zip(wanted, readings, strict=True))
    scores = {
        name: rate([getattr(r, name) == getattr(w, name) for w, r in pairs])
        for name in ("colour", "shape", "background")
    }
    scores["direction"] = rate([r.direction() == w.direction for w, r in pairs if w.direction is not None])
    scores["present"] = rate([bool(r.present.float().mean() > 0.97) for r in readings])
    return scores


def motion(film: torch.Tensor, seams: Sequence[int], fade: int, chunk_frames: int = 80) -> Motion:
    """Judge a film [F, 3, H, W] in [0, 1] whose cross-fades of `fade` frames begin at `seams`."""
    reading = read(film)
    steps = reading.steps / SPEED_PER_FRAME
    near = torch.zeros(len(steps), dtype=torch.bool)
    for seam in seams:
        near[max(0, seam - 9) : seam + fade + 8] = True
    last = read(film[-chunk_frames:])
    jump_at = int(torch.where(near, steps, 0.0).argmax())
    return Motion(
        seam_jump=float(steps[jump_at]),
        jump_at=jump_at,
        elsewhere_p99=float(torch.quantile(steps[~near], 0.99)),
        first_speed=float(steps[:chunk_frames].mean()),
        last_speed=float(steps[-chunk_frames:].mean()),
        last_colour=last.colour,
        last_shape=last.shape,
    )


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """PSNR in dB of two images or clips in [0, 1]."""
    return float(10 * torch.log10(1 / (a - b).square().mean().clamp(min=1e-12)))


@dataclass(frozen=True)
class Bounce:
    """A bounce that is seen: when, and off which wall."""

    time_s: float
    wall: str


_FIT = 6
_BESIDE_A_TURN = 2
"""Frames that a track goes on for on both sides of a turn, at the least: so turns are known as near to the
ends of a film as notes are judged."""
_CLEAR = 0.3
"""Share of the world's speed that a bounce turns round at the least to be seen as one."""
_AXES = (("left", "right"), ("top", "bottom"))
NEAR_S = 0.04
EDGE_S = 0.12
"""Beside the ends of a film a bounce or a note may be cut off: neither is judged there."""


def bounces_seen(reading: Reading, rate: float = 25.0) -> list[Bounce]:
    """Where the object's track turns round, timed by the lines before and after."""
    found = []
    for axis, walls in enumerate(_AXES):
        track = reading.track[:, axis]
        turns = [(i, *_turn(track, i)) for i in range(_FIT, len(track) - _FIT) if _extreme(track, i)]
        for _, at, before, after in turns:
            clear = min(abs(before), abs(after)) * rate > _CLEAR * SPEED_PER_FRAME * 25
            if clear and before * after < 0:
                found.append(Bounce(at / rate, walls[int(before > 0)]))
    return sorted(found, key=lambda bounce: bounce.time_s)


def _extreme(track: torch.Tensor, i: int) -> bool:
    """Whether frame `i` is the outermost of those around it, of which there are fewer at the track's ends."""
    start = max(0, i - _FIT)
    around = track[start : i + _FIT + 1]
    return i - start in (int(around.argmax()), int(around.argmin()))


def _turn(track: torch.Tensor, i: int) -> tuple[float, float, float]:
    """Where the lines before and after frame `i` meet (frames), and their slopes."""
    before, after = track[i - _FIT : i].double(), track[i + 1 : i + 1 + _FIT].double()
    when = torch.arange(_FIT, dtype=torch.float64)
    slopes, bases = [], []
    for piece, first in ((before, i - _FIT), (after, i + 1)):
        slope = ((when - when.mean()) * piece).sum() / (when - when.mean()).square().sum()
        slopes.append(float(slope))
        bases.append(float(piece.mean() - slope * (when.mean() + first)))
    turn = slopes[1] - slopes[0]
    at = (bases[0] - bases[1]) / turn if abs(turn) > 1e-9 else float(i)
    return (at if abs(at - i) < _FIT else float(i)), slopes[0], slopes[1]


@dataclass(frozen=True)
class Hearing:
    """Bounces seen, those of them heard, those with the right pitch, notes, and notes without a bounce."""

    seen: int = 0
    heard: int = 0
    right: int = 0
    notes: int = 0
    stray: int = 0

    def __add__(self, other: Hearing) -> Hearing:
        return Hearing(
            self.seen + other.seen,
            self.heard + other.heard,
            self.right + other.right,
            self.notes + other.notes,
            self.stray + other.stray,
        )

    def rates(self) -> dict[str, float]:
        """Share of bounces heard, of these with the right pitch, and of notes without a bounce."""
        return {
            "heard": self.heard / max(1, self.seen),
            "pitch": self.right / max(1, self.heard),
            "stray": self.stray / max(1, self.notes),
        }


def hearing(reading: Reading, wave: torch.Tensor, rate: float = 25.0) -> Hearing:
    """Judge the sound [2, N] of a film by its picture. A note counts as stray where the object does not turn
    round at all, however gently, within twice the tolerance.
    """
    end_s = len(reading.track) / rate - EDGE_S
    bounces = [b for b in bounces_seen(reading, rate) if EDGE_S <= b.time_s <= end_s]
    heard = notes(wave)
    inside = [note for note in heard if EDGE_S <= note.time_s <= end_s]
    met = [(b, _nearest(b, heard)) for b in bounces]
    close = [(b, note) for b, note in met if note is not None and abs(note.time_s - b.time_s) <= NEAR_S]
    stray = [note for note in inside if not _turns_near(reading, note.time_s, rate)]
    right = sum(b.wall == note.wall for b, note in close)
    return Hearing(len(bounces), len(close), right, len(inside), len(stray))


def _nearest(bounce: Bounce, heard: Sequence[Heard]) -> Heard | None:
    """The note that stands for a bounce: of those near it one with its pitch, else the nearest."""
    near = [note for note in heard if abs(note.time_s - bounce.time_s) <= NEAR_S]
    fitting = [note for note in near if note.wall == bounce.wall] or near or list(heard)
    return min(fitting, key=lambda note: abs(note.time_s - bounce.time_s), default=None)


def _turns_near(reading: Reading, time_s: float, rate: float) -> bool:
    low, high = (round((time_s + side * NEAR_S) * rate) for side in (-1, 1))
    for axis in (0, 1):
        track = reading.track[:, axis]
        for i in range(max(_BESIDE_A_TURN, low - 1), min(len(track) - _BESIDE_A_TURN, high + 2)):
            if _extreme(track, i):
                return True
    return False


SEAM_S = 0.02
"""What is listened to on either side of a seam."""


def click(wave: torch.Tensor, seams_s: Sequence[float], rate: int) -> float:
    """The largest jump from a sample to the next near a seam of a film's sound [2, N], over the 99th
    percentile of the largest in as long a time elsewhere."""
    size = round(2 * SEAM_S * rate)
    jumps = torch.cat([wave.new_zeros(1), wave.diff(dim=1).abs().amax(0)])
    near = torch.zeros(len(jumps), dtype=torch.bool)
    for seam in seams_s:
        at = round(seam * rate)
        near[max(0, at - size // 2) : at + size // 2] = True
    elsewhere = torch.where(near, 0.0, jumps)
    windows = elsewhere[: len(elsewhere) // size * size].view(-1, size).amax(1)
    return float(jumps[near].max() / torch.quantile(windows, 0.99))


@dataclass(frozen=True)
class Joins:
    """What is seen where chunks meet: `jumps` at each seam over the p99 of all other steps, the background's
    `drift` in a frame near a seam and elsewhere (its p99), of 255; `present` is the share of the frames in
    which the object is seen, of those near a seam in which the first pass shows it; `psnr` near the seams.
    """

    jumps: tuple[float, ...]
    drift: float
    drift_elsewhere: float
    present: float
    psnr: float


_BESIDE = 0.06
"""How near to the background's colour a pixel is that belongs to it."""


def joins(
    film: torch.Tensor, seams: Sequence[int], fade: int, first_pass: Reading, other: torch.Tensor
) -> Joins:
    """Judge a film [F, 3, H, W] in [0, 1] by its first pass and by `other`, a film of the same frames."""
    reading = read(film)
    steps, drift = reading.steps / SPEED_PER_FRAME, background_drift(film)
    near = torch.zeros(len(steps), dtype=torch.bool)
    spans = [slice(max(0, seam - 9), seam + fade + 8) for seam in seams]
    for span in spans:
        near[span] = True
    p99 = torch.quantile(steps[~near], 0.99)
    frames = near.nonzero()[:, 0]
    shown = first_pass.present[frames]
    return Joins(
        jumps=tuple(float(steps[span].max() / p99) for span in spans),
        drift=float(drift[near].max()),
        drift_elsewhere=float(torch.quantile(drift[~near], 0.99)),
        present=float(reading.present[frames][shown].float().mean()),
        psnr=psnr(film[frames], other[frames]),
    )


def background_drift(film: torch.Tensor, around: int = 80) -> torch.Tensor:
    """Change of the background's mean from each frame to the next, of 255, the worst channel [F - 1].

    Its colours are the medians of `around` frames, over which the object passes.
    """
    drifts = []
    for start in range(0, len(film) - 1, around):
        some = film[start : start + around + 1]
        empty = film[start : start + around].median(dim=0).values
        beside = ((some - empty).abs().amax(1) < _BESIDE).float()
        both = (beside[1:] * beside[:-1])[:, None]
        change = ((some[1:] - some[:-1]) * both).sum((2, 3)) / both.sum((2, 3)).clamp(min=1)
        drifts.append(change.abs().amax(1) * 255)
    return torch.cat(drifts)
