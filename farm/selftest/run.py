"""The examination: parts in order, each with its bar, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from farm.selftest.film import film_plan, make_film
from jobs.errors import FarmError, Problem, UsageError
from jobs.recipes.recipe import recipe_for
from jobs.spec.engine import EngineConfig
from jobs.weights.describe import Description, describe
from jobs.weights.header import WeightsFault

if TYPE_CHECKING:
    from actors.payload import Payload
    from actors.selftest.subject import ModelUnderTest

Verdict = Literal["pass", "fail", "not judged", "not run"]

LEAST_PSNR_DB = 20.0
RMS = (0.3, 3.0)
LEAST_CORRELATION = 0.8
MOST_SEAM = 1.5
MOST_DIFFERENCE = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.02, "fp8": 0.2}
"""Per step, relative: fused kernels and half precision part from diffusers' by about 1 % a step."""
JUDGED_STEPS = 3


@dataclass(frozen=True, slots=True)
class SelftestPart:
    """One part of the examination: what was measured, the bar, and how it went."""

    name: str
    verdict: Verdict
    said: str
    seconds: float
    numbers: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selftest:
    """The report. `verdict` is `pass` where no part failed and all ran."""

    checkpoint: str
    sha256: str
    family: str
    version: str
    size: str
    variant: str
    recipe: str | None
    trained: bool
    verdict: Literal["pass", "fail", "incomplete"]
    farm: str
    packages: dict[str, str]
    device: str
    dtype: str
    pixels: str
    parts: tuple[SelftestPart, ...]
    peak_gib: float
    seconds: float
    format: int = 1


@dataclass(frozen=True, slots=True)
class SelftestRequest:
    """`trained` False takes random weights: what only training can give is measured and not judged. `size`
    is (width, height) in pixels; `frames` and `new_frames` those of the film's chunks."""

    engine: EngineConfig
    device: str
    threads: int
    trained: bool = True
    minutes: float = 15.0
    size: tuple[int, int] = (128, 128)
    frames: int = 97
    new_frames: int = 80
    steps: int | None = None


class _OutOfTime(Exception):
    pass


def examine(request: SelftestRequest, said: Callable[[str], None]) -> Selftest:
    """Examines the model. Raises UsageError for what is no LTX model, SpecError for one that cannot be
    loaded, CannotRun for a machine that cannot do it."""
    from actors.selftest.measures import peak_memory
    from actors.selftest.subject import ModelUnderTest

    began = time.monotonic()
    checkpoint = Path(request.engine.checkpoint or _bundled())
    found = _described(checkpoint)
    latents = (request.frames - 1) // 8 + 1
    with peak_memory(request.device) as peak:
        subject = ModelUnderTest(request.engine, request.device, request.threads, (*request.size, latents))
        try:
            examination = _Examination(request, subject, found, began)
            parts = []
            for part in examination.parts():
                said(f"{part.name}: {part.verdict}, {part.said}")
                parts.append(part)
            return examination.report(checkpoint, tuple(parts), peak())
        finally:
            subject.close()


def _bundled() -> Path:
    from actors.models import TINY_CHECKPOINT

    return TINY_CHECKPOINT


def _described(checkpoint: Path) -> Description:
    try:
        found = describe(checkpoint)
    except (OSError, WeightsFault) as error:
        reason, rule = getattr(error, "strerror", None) or str(error), "a model file or folder"
        raise UsageError(
            [Problem("--checkpoint", f"{checkpoint} {reason}", rule, "correct the path")]
        ) from None
    if not found.family or "transformer" not in found.parts:
        rule = "an LTX-Video or LTX-2 model: the diffusers engine examines it"
        raise UsageError([Problem("--checkpoint", f"{checkpoint} is none", rule, "name another file")])
    return found


def _billions(sizes: dict[str, int]) -> str:
    return f"{sizes['transformer'] / 1e9:.3g} B + {sizes['vae'] / 1e9:.3g} B"


class _Examination:
    def __init__(
        self, request: SelftestRequest, subject: ModelUnderTest, found: Description, began: float
    ) -> None:
        self.request, self.subject, self.found, self.began = request, subject, found, began
        recipe = recipe_for(found.family, found.version, found.size, found.variant)
        bundled = request.engine.checkpoint is None or Path(request.engine.checkpoint).samefile(_bundled())
        own_words = "text_encoder" in found.parts
        self.recipe = recipe.name if recipe and request.trained and not bundled and not own_words else None
        self.plan = film_plan(
            request.engine.model_dump(exclude_unset=True), self.recipe, self._defaults(request)
        )

    @staticmethod
    def _defaults(request: SelftestRequest) -> dict[str, Any]:
        width, height = request.size
        lengths = {"num_frames": request.frames, "num_new_frames": request.new_frames}
        return {
            "width": width,
            "height": height,
            **lengths,
            **({"steps": request.steps} if request.steps else {}),
        }

    def parts(self) -> Iterator[SelftestPart]:
        for name, part in (
            ("layout", self._layout),
            ("reconstruction", self._reconstruction),
            ("reference", self._reference),
            ("repetition", self._repetition),
            ("round trip", self._round_trip),
            ("film", self._film),
        ):
            began = time.monotonic()
            try:
                self._in_time()
                made = part()
            except _OutOfTime:
                made = SelftestPart(
                    name, "not run", f"no time left of {self.request.minutes:g} minutes", 0.0, {}
                )
            except FarmError as error:
                made = SelftestPart(name, "fail", str(error), 0.0, {})
            yield replace(made, name=name, seconds=round(time.monotonic() - began, 2))

    def _in_time(self) -> None:
        if time.monotonic() - self.began > self.request.minutes * 60:
            raise _OutOfTime

    def _words(self) -> Payload | None:
        """None where the prompts can be encoded."""
        has = "text_encoder" in self.found.parts or self.request.engine.text_encoder is not None
        return None if has else self.subject.stand_in_words()

    def _layout(self) -> SelftestPart:
        sizes = self.subject.parameters
        counts = f"{sizes['transformer'] / 1e9:.3g} B + {sizes['vae'] / 1e9:.3g} B parameters"
        said = f"{counts}, none missing or left over"
        return SelftestPart("", "pass", said, 0.0, {**sizes, "number_types": self.found.numbers})

    def _reconstruction(self) -> SelftestPart:
        from actors.selftest.measures import reconstruct

        made = reconstruct(self.subject)
        fine = made.psnr_db >= LEAST_PSNR_DB and RMS[0] <= made.latent_rms <= RMS[1]
        said = (
            f"a synthetic clip comes back at {made.psnr_db:.1f} dB (at least {LEAST_PSNR_DB:g}), its "
            f"normalised latents have a root mean square of {made.latent_rms:.3g} ({RMS[0]:g} to {RMS[1]:g})"
        )
        return SelftestPart("", self._judged(fine), said, 0.0, asdict(made))

    def _reference(self) -> SelftestPart:
        from actors.selftest.judge import CannotJudge, judged_steps
        from actors.selftest.measures import differences, own_steps

        if self.subject.makes_sound:
            said = "LTX-2's steps are compared with diffusers' in docs/fidelity.md, on narrow weights"
            return SelftestPart("", "not judged", said, 0.0, {})
        words = self._words() or self.subject.words("a red ball moves right over a teal background")
        own = own_steps(self.subject, words, JUDGED_STEPS)
        self.subject.forget()
        try:
            found = differences(own, judged_steps(self.subject, words, JUDGED_STEPS))
        except CannotJudge as error:
            return SelftestPart("", "not judged", f"diffusers cannot take these weights: {error}", 0.0, {})
        bar = MOST_DIFFERENCE[self.subject.engine.dtype]
        said = (
            f"steps differ from diffusers by {', '.join(f'{step:.1e}' for step in found)} (at most {bar:g})"
        )
        return SelftestPart(
            "", "pass" if max(found) <= bar else "fail", said, 0.0, {"relative_l2": found, "bar": bar}
        )

    def _repetition(self) -> SelftestPart:
        words = self._words() or self.subject.words("a red ball moves right over a teal background")
        sampling = replace(self.plan.videos[0].chunks[0].sampling, steps=2, sigmas=(1.0, 0.9, 0.0))
        first = self.subject.sample(words, sampling)
        self.subject.forget()
        same = bool((self.subject.sample(words, sampling) == first).all())
        same_frames = bool((self.subject.decode(first) == self.subject.decode(first)).all())
        said = "a clip sampled again after its weights were loaded again, and decoded again: " + (
            "the same bytes" if same and same_frames else "other bytes"
        )
        numbers = {"sampled": same, "decoded": same_frames}
        return SelftestPart("", "pass" if same and same_frames else "fail", said, 0.0, numbers)

    def _round_trip(self) -> SelftestPart:
        from actors.selftest.measures import round_trip

        words = self._words() or self.subject.words("a red ball moves right over a teal background")
        sampling = self.plan.videos[0].chunks[0].sampling
        found = round_trip(self.subject, self.subject.sample(words, sampling))
        bar = f"(at least {LEAST_CORRELATION:g})"
        said = f"sampled latents, decoded and encoded again, correlate by {found:.3f} {bar}"
        return SelftestPart("", self._judged(found >= LEAST_CORRELATION), said, 0.0, {"correlation": found})

    def _film(self) -> SelftestPart:
        film = make_film(self.plan, self.subject.engine, self._words(), self._in_time)
        seconds = {stage: round(value, 2) for stage, value in film.seconds.items()}
        said = (
            f"{film.frames} frames over {len(film.seams)} Extends; the worst seam changes {film.ratio:.2f} "
            f"times as much as the film elsewhere (at most {MOST_SEAM:g})"
        )
        numbers = {"seams": film.seams, "seconds": seconds, "sha256": film.sha256, "frames": film.frames}
        return SelftestPart("", self._judged(film.ratio <= MOST_SEAM), said, 0.0, numbers)

    def _judged(self, fine: bool) -> Verdict:
        if not self.request.trained:
            return "not judged"
        return "pass" if fine else "fail"

    def report(self, checkpoint: Path, parts: tuple[SelftestPart, ...], peak_gib: float) -> Selftest:
        from actors.compute import compute_class
        from actors.engines.diffusers.engine import PACKAGES
        from actors.packages import installed_versions
        from jobs.file_digests import file_digest
        from jobs.version import VERSION

        verdicts = {part.verdict for part in parts}
        rest: Literal["pass", "incomplete"] = "incomplete" if "not run" in verdicts else "pass"
        return Selftest(
            checkpoint=checkpoint.name,
            sha256=file_digest(checkpoint),
            family=self.found.family,
            version=self.found.version,
            size=self.found.size,
            variant=self.found.variant,
            recipe=self.recipe,
            trained=self.request.trained,
            verdict="fail" if "fail" in verdicts else rest,
            farm=VERSION,
            packages=installed_versions(PACKAGES),
            device=compute_class(self.request.device),
            dtype=self.subject.engine.dtype,
            pixels="x".join(map(str, self.request.size)),
            parts=parts,
            peak_gib=round(peak_gib, 3),
            seconds=round(time.monotonic() - self.began, 1),
        )
