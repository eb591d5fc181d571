"""The language of the tiny model: a small grammar over the words of the procedural world."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from actors.models.tiny_words import PAD, START, TinyTokenizer
from tools.train_tiny.procedural.world import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES

MAX_TOKENS = 32
HELD_OUT_FILE = Path(__file__).parents[3] / "benchmarks" / "tiny" / "held_out.json"
UNNAMED = len(DIRECTIONS)
"""Index of 'the sentence names no direction'."""

Combination = tuple[int, int, int, int]
"""Indices of colour, shape, background and direction (`UNNAMED` where none is named)."""

_COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "scarlet"),
    "purple": ("purple", "violet"),
    "yellow": ("yellow", "golden"),
}
_SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "circle", "sphere", "disc"),
    "cube": ("cube", "square", "box", "block"),
    "triangle": ("triangle", "pyramid"),
}
_BACKGROUND_WORDS: dict[str, tuple[str, ...]] = {
    "gray": ("gray", "grey"),
    "navy": ("navy", "navy blue"),
    "black": ("black", "dark"),
}
_GROUNDS = ("background", "background", "backdrop", "wall", "surface")
_PLACES = ("over", "over", "on", "across", "against", "above", "in front of")
_OPEN_VERBS = (
    "bounces",
    "bounces",
    "bouncing",
    "moves",
    "flies",
    "glides",
    "drifts",
    "travels",
    "rolls",
    "floats",
)
_VERBS = (
    "moves",
    "moves",
    "moving",
    "flies",
    "flying",
    "glides",
    "slides",
    "drifts",
    "travels",
    "goes",
    "heads",
)
_OPEN_TAILS = ("around", "about", "along", "freely", "off the walls", "from wall to wall")
_ADJECTIVES = ("bright", "shiny", "small", "little", "single", "smooth", "simple")
_ADVERBS = ("slowly", "steadily", "smoothly", "gently", "calmly")
_ENDINGS = (
    ", static camera",
    ", the camera is still",
    ", smooth motion",
    ", a simple animation",
    ", a simple scene",
)
_VERTICAL: dict[str, tuple[str, ...]] = {
    "up": ("up", "upward", "upwards", "to the top"),
    "down": ("down", "downward", "downwards", "to the bottom"),
}
_HORIZONTAL: dict[str, tuple[str, ...]] = {
    "left": ("left", "to the left", "towards the left", "leftwards"),
    "right": ("right", "to the right", "towards the right", "rightwards"),
}
_CONTINUATIONS = (
    "it keeps moving",
    "it keeps bouncing",
    "it continues",
    "it keeps going",
    "and it moves on",
    "the motion continues",
    "it still bounces off the walls",
    "it goes on",
    "the {shape} keeps moving",
    "the {shape} keeps bouncing",
    "the {colour} {shape} keeps bouncing",
    "the {colour} {shape} keeps moving",
    "the {colour} {shape} continues",
    "the {colour} {shape} still bounces over the {ground}",
    "then the {colour} {shape} goes on",
    "the {colour} {shape} continues to bounce over the {ground} background",
)
DROPPED = frozenset(
    """
    worst best low high quality blurry blurred distorted distortion jittery jitter inconsistent
    motionless ugly bad deformed disfigured artifacts artifact noise noisy grainy watermark text logo
    compression fused fast fingers anatomy wrong no not very detailed cinematic masterpiece sharp hd 4k
    8k realistic video footage clip movie film overexposed underexposed oversaturated flicker flickering
    shaky pixelated resolution jpeg error
    """.split()  # noqa: SIM905
)
"""Words that only judge the picture; the tokenizer drops them."""


def _choose(rng: random.Random, table: dict[str, tuple[str, ...]], name: str) -> str:
    """The plain name half of the time, else one of its synonyms."""
    return name if rng.random() < 0.5 else rng.choice(table.get(name, (name,)))


def direction_phrase(direction: int, rng: random.Random) -> str:
    """Words for one of the eight directions."""
    parts = DIRECTIONS[direction].split()
    if len(parts) == 1:
        return rng.choice((_VERTICAL | _HORIZONTAL)[parts[0]])
    vertical, horizontal = parts
    if rng.random() < 0.5:
        return rng.choice((f"{vertical} {horizontal}", f"diagonally {vertical} {horizontal}"))
    return f"{rng.choice(_VERTICAL[vertical])} and {rng.choice(_HORIZONTAL[horizontal])}"


def sentence(combination: Combination, rng: random.Random) -> str:
    """One random sentence that says exactly `combination`."""
    colour, shape, background, direction = combination
    noun = _choose(rng, _SHAPE_WORDS, SHAPES[shape])
    adjective = f"{rng.choice(_ADJECTIVES)} " if rng.random() < 0.2 else ""
    article = rng.choice(("a", "a", "the", "one"))
    subject = f"{article} {adjective}{_choose(rng, _COLOUR_WORDS, list(COLOURS)[colour])} {noun}"
    verb = rng.choice(_VERBS if direction != UNNAMED else _OPEN_VERBS)
    verb = f"is {verb}" if verb.endswith("ing") and rng.random() < 0.7 else verb
    tail = direction_phrase(direction, rng) if direction != UNNAMED else ""
    if direction == UNNAMED and rng.random() < 0.4:
        tail = rng.choice(_OPEN_TAILS)
    adverb = rng.choice(_ADVERBS) if rng.random() < 0.15 else ""
    place = f"{rng.choice(_PLACES)} {rng.choice(('a', 'a', 'the'))} "
    place += f"{_choose(rng, _BACKGROUND_WORDS, list(BACKGROUNDS)[background])} {rng.choice(_GROUNDS)}"
    ending = rng.choice(_ENDINGS) if rng.random() < 0.12 else ""
    middle = [tail, adverb] if rng.random() < 0.5 else [adverb, tail]
    return " ".join(part for part in (subject, verb, *middle, place) if part) + ending


def continuation(combination: Combination, rng: random.Random) -> str:
    """A sentence for an extend that names only part of what is seen."""
    colour, shape, background, _ = combination
    pattern = rng.choice(_CONTINUATIONS)
    return pattern.format(
        colour=_choose(rng, _COLOUR_WORDS, list(COLOURS)[colour]),
        shape=_choose(rng, _SHAPE_WORDS, SHAPES[shape]),
        ground=_choose(rng, _BACKGROUND_WORDS, list(BACKGROUNDS)[background]),
    )


def vocabulary() -> tuple[str, ...]:
    """Every word of the grammar, in id order: pad, start, then alphabetical."""
    phrases: list[str] = [
        *COLOURS,
        *BACKGROUNDS,
        *SHAPES,
        "a an the one is and in front of diagonally keeps some its",
    ]
    tables: list[dict[str, tuple[str, ...]]] = [_COLOUR_WORDS, _SHAPE_WORDS, _BACKGROUND_WORDS]
    for table in (*tables, _VERTICAL, _HORIZONTAL):
        phrases += [word for synonyms in table.values() for word in synonyms]
    phrases += [*_GROUNDS, *_PLACES, *_OPEN_VERBS, *_VERBS, *_OPEN_TAILS, *_ADJECTIVES, *_ADVERBS, *_ENDINGS]
    phrases += [pattern.format(colour="", shape="", ground="") for pattern in _CONTINUATIONS]
    words = {word for phrase in phrases for word in phrase.replace(",", " ").split()}
    return (PAD, START, *sorted(words - DROPPED))


def tokenizer() -> TinyTokenizer:
    """The tokenizer of the grammar."""
    return TinyTokenizer(vocabulary(), DROPPED, MAX_TOKENS)


@dataclass(frozen=True)
class HeldOut:
    """One prompt of the benchmark and what it says."""

    prompt: str
    combination: Combination


def held_out() -> list[HeldOut]:
    """The combinations that training never names, from the file that was committed before training."""
    rows = json.loads(HELD_OUT_FILE.read_text())["prompts"]
    return [HeldOut(row["prompt"], _combination(row)) for row in rows]


def _combination(row: dict[str, str | None]) -> Combination:
    direction = row["direction"]
    return (
        list(COLOURS).index(str(row["colour"])),
        SHAPES.index(str(row["shape"])),
        list(BACKGROUNDS).index(str(row["background"])),
        UNNAMED if direction is None else DIRECTIONS.index(direction),
    )


class PromptPool:
    """Token ids of many sentences for every combination, on the device."""

    def __init__(self, device: torch.device, variants: int = 24, seed: int = 0) -> None:
        rng = random.Random(seed)
        self._tokenizer = tokenizer()
        self.variants = variants
        sizes = (len(COLOURS), len(SHAPES), len(BACKGROUNDS), len(DIRECTIONS) + 1)
        grid = [tuple(c) for c in torch.cartesian_prod(*(torch.arange(n) for n in sizes)).tolist()]
        full = [self._row(sentence(c, rng)) for c in grid for _ in range(variants)]
        part = [self._row(continuation(c, rng)) for c in grid for _ in range(variants)]
        shape = (*sizes, variants, MAX_TOKENS)
        self.full = torch.tensor(full, device=device).reshape(shape)
        self.part = torch.tensor(part, device=device).reshape(shape)
        self.null = torch.tensor(self._row(""), device=device)
        self.held = torch.zeros(sizes, dtype=torch.bool)
        for item in held_out():
            self.held[item.combination] = True
        self.held = self.held.to(device)

    def _row(self, prompt: str) -> list[int]:
        ids = self._tokenizer.ids(prompt)
        return ids + [0] * (MAX_TOKENS - len(ids))

    def draw(self, facts: torch.Tensor, partial: torch.Tensor, null: torch.Tensor) -> torch.Tensor:
        """Token ids [B, MAX_TOKENS] for the combinations `facts` [B, 4]; held-out ones give the null prompt.

        `partial` and `null` [B] bool ask for a continuation sentence and for the null prompt.
        """
        variant = torch.randint(self.variants, partial.shape, device=partial.device)
        where = (*facts.unbind(1), variant)
        ids = torch.where(partial[:, None], self.part[where], self.full[where])
        return torch.where((null | self.held[where[:4]])[:, None], self.null, ids)


def choose_held_out(seed: int = 2026) -> Iterable[dict[str, str | None]]:
    """Draw the 64 held-out combinations: 48 that name a direction (6 of each) and 16 that name none."""
    rng = random.Random(seed)
    directions = [d for d in range(UNNAMED) for _ in range(6)] + [UNNAMED] * 16
    columns = [[i % n for i in range(64)] for n in (len(COLOURS), len(SHAPES), len(BACKGROUNDS))] + [
        directions
    ]
    while len(set(zip(*columns, strict=True))) < 64:
        for column in columns[:3]:
            rng.shuffle(column)
    for colour, shape, background, direction in zip(*columns, strict=True):
        yield {
            "prompt": sentence((colour, shape, background, direction), rng),
            "colour": list(COLOURS)[colour],
            "shape": SHAPES[shape],
            "background": list(BACKGROUNDS)[background],
            "direction": None if direction == UNNAMED else DIRECTIONS[direction],
        }
