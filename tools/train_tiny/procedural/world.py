"""The procedural world that the tiny model films: one object that bounces over a plain background.

Everything is drawn from signed distances in unit coordinates (the short side of the frame is 1), so a scene
looks the same at every resolution. Positions run right and down; time is counted in frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import torch

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.88, 0.14, 0.16),
    "green": (0.18, 0.74, 0.26),
    "blue": (0.18, 0.36, 0.95),
    "yellow": (0.97, 0.85, 0.18),
    "purple": (0.64, 0.22, 0.80),
    "orange": (0.98, 0.53, 0.10),
}
SHAPES: tuple[str, ...] = ("ball", "cube", "triangle")
BACKGROUNDS: dict[str, tuple[float, float, float]] = {
    "teal": (0.07, 0.46, 0.49),
    "gray": (0.47, 0.47, 0.49),
    "navy": (0.08, 0.11, 0.33),
    "white": (0.91, 0.90, 0.88),
    "black": (0.06, 0.06, 0.07),
}
DIRECTIONS: tuple[str, ...] = (
    "right",
    "down right",
    "down",
    "down left",
    "left",
    "up left",
    "up",
    "up right",
)
"""Names of the headings 0, 45, ... 315 degrees, clockwise since y runs down."""

SPEED_PER_FRAME = 0.4 / 25
RADIUS = 0.16
FREE_FRAMES = 16
HEADING_JITTER = math.radians(8)
SWAY = 0.35


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes. Index tensors are int64 [B]; `heading` is radians [B]; `start` is the centre in
    units [B, 2]; `sway` [B, 2, 3] holds amplitude (units), period (frames) and phase (radians) of what each
    axis adds to the straight path: zero amplitude in a plain scene.
    """

    colour: torch.Tensor
    shape: torch.Tensor
    background: torch.Tensor
    direction: torch.Tensor
    heading: torch.Tensor
    start: torch.Tensor
    sway: torch.Tensor

    def __len__(self) -> int:
        return int(self.colour.shape[0])

    def pick(self, index: torch.Tensor | slice) -> Scenes:
        return replace(self, **{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Frame:
    """Pixel size of a clip."""

    height: int
    width: int

    @property
    def short(self) -> int:
        return min(self.height, self.width)

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height in units."""
        return self.width / self.short, self.height / self.short


@cache
def _constant(rows: tuple[tuple[float, ...], ...], device: torch.device) -> torch.Tensor:
    """A table on the device, copied there once: a recorded CUDA graph may not copy from the host."""
    return torch.tensor(rows, device=device)


def draw_scenes(
    count: int,
    frame: Frame,
    generator: torch.Generator,
    named: torch.Tensor | None = None,
    swaying: torch.Tensor | None = None,
) -> Scenes:
    """Random scenes whose first `FREE_FRAMES` frames are free of walls.

    `named` [B] bool: the heading follows one of the eight directions (with a small jitter) instead of any
    angle. `swaying` [B] bool: the path is bent, so that an object can be seen to steer towards an image.
    """
    device = generator.device

    def draw(high: int) -> torch.Tensor:
        return torch.randint(high, (count,), generator=generator, device=device)

    direction = draw(len(DIRECTIONS))
    jitter = torch.rand(count, generator=generator, device=device) * 2 - 1
    exact = direction * (math.pi / 4) + jitter * HEADING_JITTER
    anywhere = direction * (math.pi / 4) + jitter * (math.pi / 8)
    heading = exact if named is None else torch.where(named, exact, anywhere)
    return Scenes(
        colour=draw(len(COLOURS)),
        shape=draw(len(SHAPES)),
        background=draw(len(BACKGROUNDS)),
        direction=direction,
        heading=heading,
        start=_free_start(heading, frame, torch.rand(count, 2, generator=generator, device=device)),
        sway=_sway(torch.rand(count, 2, 3, generator=generator, device=device), swaying),
    )


def _sway(uniform: torch.Tensor, swaying: torch.Tensor | None) -> torch.Tensor:
    """Amplitude up to `SWAY`, periods of 120 to 400 frames, any phase."""
    amplitude, period, phase = uniform.unbind(2)
    bent = torch.zeros_like(amplitude) if swaying is None else SWAY * amplitude * swaying[:, None]
    return torch.stack([bent, 120 + 280 * period, 2 * math.pi * phase], dim=2)


def _free_start(heading: torch.Tensor, frame: Frame, uniform: torch.Tensor) -> torch.Tensor:
    """Start points [B, 2] from which the first `FREE_FRAMES` frames meet no wall."""
    travel = torch.stack([heading.cos(), heading.sin()], dim=1) * (SPEED_PER_FRAME * FREE_FRAMES)
    extent = _constant((frame.extent,), heading.device)
    low = RADIUS - travel.clamp(max=0)
    high = extent - RADIUS - travel.clamp(min=0)
    return low + uniform * (high - low)


def unfolded(scenes: Scenes, frames: torch.Tensor, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """The paths [B, F, 2] in units that nothing reflects, 0 at the left and top wall, and the room [2]
    between the walls.
    """
    velocity = torch.stack([scenes.heading.cos(), scenes.heading.sin()], dim=1) * SPEED_PER_FRAME
    when = frames.to(velocity)[None, :, None]
    amplitude, period, phase = scenes.sway[:, None].unbind(3)
    bend = amplitude * ((2 * math.pi * when / period + phase).sin() - phase.sin())
    path = scenes.start[:, None] + velocity[:, None] * when + bend
    return path - RADIUS, (_constant((frame.extent,), path.device) - 2 * RADIUS)[0]


def fold(path: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
    """Reflect `unfolded` paths at the walls: centres in units."""
    phase = torch.remainder(path, 2 * room)
    return RADIUS + torch.where(phase > room, 2 * room - phase, phase)


def centres(scenes: Scenes, frames: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Object centres [B, F, 2] in units at the frame numbers [F], which may be fractions."""
    return fold(*unfolded(scenes, frames, frame))


def distance(shape: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Signed distance in units to the outline of `shape` (broadcast against x and y), negative inside."""
    ball = torch.hypot(x, y) - RADIUS
    side = RADIUS * 0.86
    cube = torch.maximum(x.abs(), y.abs()) - side
    flank = x.abs() * (math.sqrt(3) / 2) - (y + RADIUS * 0.12) * 0.5 - RADIUS * 0.50
    triangle = torch.maximum(flank, y - RADIUS * 0.80)
    return torch.where(shape == 0, ball, torch.where(shape == 1, cube, triangle))


def _grid(frame: Frame, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    y = (torch.arange(frame.height, device=device) + 0.5) / frame.short
    x = (torch.arange(frame.width, device=device) + 0.5) / frame.short
    return x[None, :], y[:, None]


def backdrop(background: torch.Tensor, frame: Frame) -> torch.Tensor:
    """The empty background [B, 3, H, W] in [0, 1]: its colour, a little lighter towards the top."""
    palette = _constant(tuple(BACKGROUNDS.values()), background.device)
    _, y = _grid(frame, background.device)
    light = 1.04 - 0.10 * y / frame.extent[1]
    return (palette[background][:, :, None, None] * light).expand(-1, -1, -1, frame.width).clamp(0, 1)


def masks(scenes: Scenes, frames: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Anti-aliased coverage of the object [B, F, H, W] in [0, 1]."""
    x, y = _grid(frame, frames.device)
    centre = centres(scenes, frames, frame)[..., None, None]
    d = distance(scenes.shape[:, None, None, None], x - centre[:, :, 0], y - centre[:, :, 1])
    return (0.5 - d * frame.short).clamp(0, 1)


def render(scenes: Scenes, frames: torch.Tensor, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the frame numbers [F] of every scene.

    Returns the clip [B, 3, F, H, W] in [-1, 1] and the object's coverage [B, F, H, W] in [0, 1].
    """
    grid_x, grid_y = _grid(frame, frames.device)
    centre = centres(scenes, frames, frame)[..., None, None]
    x, y = grid_x - centre[:, :, 0], grid_y - centre[:, :, 1]
    shape = scenes.shape[:, None, None, None]
    cover = (0.5 - distance(shape, x, y) * frame.short).clamp(0, 1)
    shadow = 1 - 0.12 * (0.5 - distance(shape, x - 0.03, y - 0.04) / 0.08).clamp(0, 1)
    palette = _constant(tuple(COLOURS.values()), frames.device)
    lit = 1.0 - 0.14 * (x + y) / RADIUS
    glint = torch.where(
        shape == 0, (1 - torch.hypot(x + 0.055, y + 0.06) / 0.06).clamp(0, 1) * 0.45, torch.zeros_like(x)
    )
    body = palette[scenes.colour][:, :, None, None, None] * lit[:, None]
    body = body + (1 - body) * glint[:, None]
    ground = backdrop(scenes.background, frame)[:, :, None] * shadow[:, None]
    clip = ground + (body - ground) * cover[:, None]
    return clip.clamp(0, 1) * 2 - 1, cover
