"""What people chose of a job: approvals, picks of takes, other seeds and prompts, chunks to render again.

Each is a file that anybody may write who may write into the run directory. A driver takes them in when it
begins, and while it renders.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jobs.commands import command_at
from jobs.errors import StorageProblem
from jobs.records import Form
from jobs.store.documents import REQUESTS, Documents
from jobs.tasks.retry import RetryState

SEEDS, SEEDS_COPY = "seeds.json", "seeds.copy.json"
APPROVALS, PICKS = "approvals", "picks"
RETRY = "retry"

Chunk = tuple[str, int]
"""Film and decode seed: what stays with a chunk wherever it stands."""


@dataclass(frozen=True, slots=True)
class Rewording:
    """The `prompt` that a chunk has in place of the one that the spec gives it, which was `instead_of`."""

    instead_of: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """New sample seeds and prompts of chunks that were retried: video, decode seed, and seed or prompts."""

    seeds: tuple[tuple[str, int, int], ...] = ()
    prompts: tuple[tuple[str, int, Rewording], ...] = ()


@dataclass(frozen=True, slots=True)
class AskedRetry:
    """What the driver that renders a job is asked to render again, as in `jobs.tasks.retry.Selection`; `at_s`
    is epoch seconds."""

    videos: tuple[str, ...] = ()
    chunks: tuple[int, ...] = ()
    state: RetryState | None = None
    reseed: bool = False
    prompt: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Approval:
    """Who reads the file knows what was approved from its name; `at_s` is epoch seconds."""

    digest: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pick:
    """The take of a shot that is in the film `video`; `at_s` is epoch seconds."""

    video: str
    shot: str
    take: int
    at_s: float = 0.0


APPROVAL_FORM = Form("approval", Approval)
PICK_FORM = Form("pick", Pick)
SEEDS_FORM = Form(SEEDS, Overrides, format=2)
RETRY_FORM = Form("retry", AskedRetry)


class Chosen(Documents):
    """Reading and writing what people chose of one job."""

    def seed_overrides(self) -> dict[Chunk, int]:
        """Sample seeds that `farm retry --reseed` drew; the plan takes them in. Raises as `overrides`."""
        return {(video, decode_seed): seed for video, decode_seed, seed in self.overrides().seeds}

    def rewordings(self) -> dict[Chunk, Rewording]:
        """Prompts that `farm retry --prompt` gave. Raises as `overrides`."""
        return {(video, decode_seed): found for video, decode_seed, found in self.overrides().prompts}

    def overrides(self) -> Overrides:
        """They can be made from nothing else, so they stand twice. Raises StorageProblem where both are
        torn."""
        copies = [self.recall(SEEDS_FORM, name) for name in (SEEDS, SEEDS_COPY)]
        found = copies[0] or copies[1]
        if found is None and (self.has(SEEDS) or self.has(SEEDS_COPY)):
            reseed = command_at("retry --all --reseed", self.backend.url)
            raise StorageProblem(
                f"{self.backend.url}/{SEEDS} and its copy are damaged: delete both to go back to the spec's "
                f"seeds, then choose new ones with `{reseed}`."
            )
        return found or Overrides()

    def mend_seeds(self) -> None:
        """Write the copy that is torn, or missing, again from the other one. Raises StorageProblem."""
        names = (SEEDS, SEEDS_COPY)
        if any(self.has(name) and self.recall(SEEDS_FORM, name) is None for name in names):
            self.override({})

    def override(
        self, seeds: Mapping[Chunk, int], prompts: Mapping[Chunk, Rewording] = MappingProxyType({})
    ) -> None:
        """Add overrides to those that stand."""
        merged = Overrides(
            tuple((*chunk, seed) for chunk, seed in sorted({**self.seed_overrides(), **seeds}.items())),
            tuple((*chunk, each) for chunk, each in {**self.rewordings(), **prompts}.items()),
        )
        for name in (SEEDS, SEEDS_COPY):
            self.save(SEEDS_FORM, merged, name)

    def ask_retry(self, asked: AskedRetry) -> str:
        """Ask the driver to render chunks again; it stands, under the name that is returned, until a driver
        has taken it in."""
        name = f"{RETRY}-{time.time_ns():020d}-{secrets.token_hex(3)}.json"
        self.save(RETRY_FORM, asked, f"{REQUESTS}/{name}")
        return name

    def asked_retries(self) -> tuple[str, ...]:
        """Names of what `ask_retry` wrote and no driver has taken in, oldest first; one listing."""
        return tuple(sorted(name for name in self.backend.entries(REQUESTS) if name.startswith(f"{RETRY}-")))

    def asked_retry(self, name: str) -> AskedRetry | None:
        """What one of them asks for; None where it is gone. Raises DamagedDocument, NewerFormat."""
        remedy = f"ask again with `{command_at('retry', self.backend.url)}`"
        return self.load(RETRY_FORM, remedy, f"{REQUESTS}/{name}")

    def answer_retry(self, name: str) -> None:
        """It is taken in."""
        self.backend.delete(f"{REQUESTS}/{name}")

    def approve(self, digest: str) -> None:
        """Write down that somebody has seen this result and wants what follows."""
        self.backend.create(f"{APPROVALS}/{digest}.json", APPROVAL_FORM.encode(Approval(digest, time.time())))

    def approvals(self) -> frozenset[str]:
        """Digests of results that were approved; one listing."""
        return frozenset(name.removesuffix(".json") for name in self.backend.entries(APPROVALS))

    def pick(self, video: str, shot: str, take: int) -> None:
        """Write down which take of a shot is wanted, in place of what was picked before."""
        self.save(PICK_FORM, Pick(video, shot, take, time.time()), f"{PICKS}/{video}.{shot}.json")

    def picks(self) -> dict[tuple[str, str], int]:
        """The takes that were picked, by film and shot. Raises DamagedDocument."""
        again = command_at("pick SHOT TAKE", self.backend.url)
        remedy = f"delete it, then pick the take again with `{again}`"
        names = sorted(self.backend.entries(PICKS))
        found = (self.load(PICK_FORM, remedy, f"{PICKS}/{name}") for name in names)
        return {(pick.video, pick.shot): pick.take for pick in found if pick is not None}
