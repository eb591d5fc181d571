"""What each engine can do: sound, samplers, guiders, upsampling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from jobs.frames import SPATIAL
from jobs.places import Location, shown
from jobs.planning.expand import setting, variants
from jobs.rules.findings import BrokenRule
from jobs.rules.guiders import check_guider
from jobs.rules.sound.tracks import placed_tracks
from jobs.spec.engine import Lora
from jobs.spec.fields import all_settings

if TYPE_CHECKING:
    from jobs.spec.chunk import Reference
    from jobs.spec.job import JobSpec
    from jobs.spec.retake import Retake
    from jobs.tasks.topology import Topology

DIFFUSERS_SAMPLERS = ("dpmpp_2m", "euler", "euler_ancestral", "heun", "lcm", "res_2s")


GUIDERS = {"diffusers": ("cfg", "stg"), "comfyui": ("cfg", "stg")}


MODELS = ("checkpoint", "diffusion_model")
"""Fields that name a model; without any of them it is the bundled one, which has all its parts."""


PlacedLora = tuple[Location, Lora]
"""A LoRA, and where the spec has it."""


SIZES: tuple[Location, ...] = (("defaults", "width"), ("defaults", "height"), ("matrix",))


def check_audio(spec: JobSpec) -> Iterator[BrokenRule]:
    """ComfyUI's core has the audio VAE as a file of its own, but for the bundled model. Whether a model makes
    sound, its file says (`model_contents`)."""
    engine = spec.engine
    named = any(getattr(engine, field) is not None for field in MODELS)
    if engine.name != "comfyui" or engine.audio_vae is not None or not named:
        return
    depends: tuple[Location, ...] = tuple(("engine", field) for field in ("name", "audio_vae", *MODELS))
    for place, track in placed_tracks(spec):
        if track.is_sampled:
            rule = "`engine.audio_vae` is needed for sound that the model makes or hears"
            remedy = "name the audio VAE, or give a file with `mode: mux`"
            value = "generate" if track.generate else "condition"
            yield BrokenRule(place, value, rule, remedy, depends)


def check_number_type(spec: JobSpec) -> Iterator[BrokenRule]:
    """ComfyUI's core computes in fp8 by its own choice."""
    if spec.engine.name == "comfyui" and spec.engine.dtype == "fp8":
        rule = "only the diffusers engine rounds a model to fp8; ComfyUI computes from a file that is in fp8"
        remedy = "name the model's fp8 file and leave it out, or write `engine.name: diffusers`"
        yield BrokenRule(("engine", "dtype"), "fp8", rule, remedy, (("engine", "name"),))


def check_loras(spec: JobSpec) -> Iterator[BrokenRule]:
    """ComfyUI's engine merges a LoRA once, for every pass and shot."""
    if spec.engine.name != "comfyui":
        return
    for where, settings in all_settings(spec):
        if getattr(settings, "loras", ()):
            rule = (
                "the LoRAs of `engine.loras` for every shot: only the diffusers engine has some for one shot"
            )
            remedy = "list it there, or render with `engine.name: diffusers`"
            value = shown(settings.loras[0].path)
            yield BrokenRule((*where, "loras"), value, rule, remedy, (("engine", "name"),))
    for index, lora in enumerate(spec.engine.loras):
        if lora.strengths.sample != lora.strengths.upscale:
            rule = "one weight for every pass: only the diffusers engine has one for each"
            remedy = "write one number, or render with `engine.name: diffusers`"
            place: Location = ("engine", "loras", index, "strength")
            yield BrokenRule(place, "two weights", rule, remedy, (("engine", "name"),))


def check_references(spec: JobSpec) -> Iterator[BrokenRule]:
    """References need an engine that shows them, an IC-LoRA in the first pass, and sizes that they divide.
    Whether the model knows any, its file says (`model_contents`)."""
    found = list(looked_at(spec))
    seen = {look.place for look in found if look.is_through_a_lora}
    for look in found:
        if spec.engine.name == "comfyui":
            rule = "the comfyui engine shows its models no references"
            remedy = "write `engine.name: diffusers`, or leave them out"
            yield BrokenRule(look.place, shown(look.file.path), rule, remedy, (("engine", "name"),))
        elif not look.is_through_a_lora:
            # Where other shots see those of `defaults`, the fault is this shot's.
            place = look.by if look.place in seen else look.place
            rule = "a model looks at references through an IC-LoRA that counts in the first pass"
            remedy = (
                "add the IC-LoRA to `engine.loras`, or `loras` of the shot, with `strength: {sample: 1.0}`"
            ) + (", or write `references: []` in it" if place == look.by else "")
            depends = (("engine", "loras"), look.place[:2], look.by[:2])
            yield BrokenRule(place, shown(look.file.path), rule, remedy, depends)
    scales = {look.place: look.file.scale for look in found}
    for width, height in sorted({variant.size for variant in variants(spec)}):
        for place, scale in scales.items():
            if width % (SPATIAL * scale) or height % (SPATIAL * scale):
                rule = f"a video of {width}x{height} has to divide by {SPATIAL} x `scale`"
                remedy = f"write width and height that are multiples of {SPATIAL * scale}"
                yield BrokenRule((*place, "scale"), str(scale), rule, remedy, SIZES)


def check_retakes(spec: JobSpec) -> Iterator[BrokenRule]:
    """Retakes have one pass of the diffusers engine, look at no references, and make sound that is heard."""
    for index, video in enumerate(spec.videos):
        here: Location = ("videos", index, "retakes")
        if video.retakes and spec.engine.name == "comfyui":
            rule = "the comfyui engine makes no part of a clip anew"
            remedy = "write `engine.name: diffusers`, which reads the same files"
            yield BrokenRule(here, "set", rule, remedy, (("engine", "name"),))
        if video.retakes and spec.upscale is not None:
            rule = "retakes have no second pass: what surrounds them is shown as the source has it"
            remedy = "leave `upscale` out, and write the film's own `width` and `height`"
            yield BrokenRule(here, "set", rule, remedy, (("upscale",),))
        makes = any(track.generate for track in video.sound)
        for number, retake in enumerate(video.retakes):
            yield from _check_retake(spec, retake, makes, (*here, number))


def _check_retake(spec: JobSpec, retake: Retake, makes: bool, here: Location) -> Iterator[BrokenRule]:
    depends: tuple[Location, ...] = ((*here[:2], "sound"),)
    remedy = "add `sound: [{generate: true}]` to the video"
    if retake.sound and not makes:
        rule = "sound that is made anew is heard where the video's `sound` has it"
        yield BrokenRule((*here, "sound"), "true", rule, remedy, depends)
    elif not retake.picture and not makes:
        rule = "without pictures sound is made anew, which is heard where the video's `sound` has it"
        yield BrokenRule((*here, "picture"), "false", rule, remedy, depends)
    if setting(retake, spec.defaults, "references"):
        rule = "retakes look at no references"
        place = (*here, "references") if "references" in retake.model_fields_set else here
        yield BrokenRule(place, "set", rule, "write `references: []` in it", (("defaults", "references"),))


class Look(NamedTuple):
    """A reference at `place`, which the shot or chunk at `by` looks at, and the LoRAs that it is sampled
    with."""

    place: Location
    by: Location
    file: Reference
    loras: tuple[PlacedLora, ...]

    @property
    def is_through_a_lora(self) -> bool:
        """Whether any of them counts in the first pass, which is shown references."""
        return any(lora.strengths.sample for _, lora in self.loras)


def looked_at(spec: JobSpec) -> Iterator[Look]:
    """What shots and chunks look at: those of `defaults` once for each that has none of its own. Retakes look
    at none. `by` is the chunk that begins the shot: it has the LoRAs."""
    always: tuple[PlacedLora, ...] = tuple(
        (("engine", "loras", index), lora) for index, lora in enumerate(spec.engine.loras)
    )
    by: Location = ()
    known = always
    for where, settings in all_settings(spec):
        if where[0] != "videos" or where[2] == "retakes":
            continue
        if where[-1] != "extend" or where[-2] == 0:
            own = _own_loras(where, settings)
            named = {lora.path for _, lora in own}
            by, known = where, (*(each for each in always if each[1].path not in named), *own)
        at = where if "references" in settings.model_fields_set else ("defaults",)
        for index, each in enumerate(setting(settings, spec.defaults, "references")):
            yield Look((*at, "references", index), by, each, known)


def placed_loras(spec: JobSpec) -> Iterator[PlacedLora]:
    """Those of the engine, and those of shots."""
    yield from ((("engine", "loras", index), lora) for index, lora in enumerate(spec.engine.loras))
    for where, settings in all_settings(spec):
        yield from _own_loras(where, settings)


def _own_loras(where: Location, settings: Any) -> tuple[PlacedLora, ...]:
    loras = enumerate(getattr(settings, "loras", ()))
    return tuple(((*where, "loras", index), lora) for index, lora in loras)


def check_samplers(spec: JobSpec) -> Iterator[BrokenRule]:
    """Guiders that the engine has, and samplers of the diffusers engine. Those of ComfyUI differ between its
    versions: its first worker tells them before anything is rendered."""
    engine = spec.engine.name
    for location, settings in all_settings(spec):
        if engine == "diffusers" and settings.sampler not in DIFFUSERS_SAMPLERS:
            yield _unknown_choice(engine, (*location, "sampler"), settings.sampler, DIFFUSERS_SAMPLERS)
        guiders = GUIDERS.get(engine, (settings.guider.name,))
        if settings.guider.name not in guiders:
            yield _unknown_choice(engine, (*location, "guider"), settings.guider.name, guiders)
        elif engine in GUIDERS:
            yield from check_guider(settings.guider, (*location, "guider"), engine)


def _unknown_choice(engine: str, location: Location, value: str, known: tuple[str, ...]) -> BrokenRule:
    rule = f"the {engine} engine has {', '.join(known)}"
    return BrokenRule(location, shown(value), rule, "write one of these", (("engine", "name"),))


def check_upscaler(spec: JobSpec) -> Iterator[BrokenRule]:
    """An upscale stage needs an upsampler; only the bundled model brings its own."""
    engine = spec.engine
    if spec.upscale is None or engine.name == "fake" or engine.upscale_model is not None:
        return
    if engine.checkpoint is not None or engine.diffusion_model is not None:
        rule = "`engine.upscale_model` is needed for the upscale stage"
        depends = tuple(
            ("engine", field) for field in ("name", "checkpoint", "diffusion_model", "upscale_model")
        )
        yield BrokenRule(
            ("upscale",), "set", rule, "name the latent upsampler, or leave out `upscale`", depends
        )


def check_upscaled_size(spec: JobSpec) -> Iterator[BrokenRule]:
    """A pass has whole latents, and only LTX-2 an upsampler of 1.5x, which the diffusers engine runs."""
    engine, upscale = spec.engine, spec.upscale
    if upscale is None or upscale.spatial == 2:
        return
    place, value = ("upscale", "spatial"), str(upscale.spatial)
    if engine.name == "comfyui" or (engine.name == "diffusers" and engine.upscale_model is None):
        rule = "an upsampler of 1.5x is one that LTX-2 has, as `engine.upscale_model` of the diffusers engine"
        remedy = "write 2, or leave it out"
        yield BrokenRule(place, value, rule, remedy, (("engine", "name"), ("engine", "upscale_model")))
    for width, height in sorted({variant.size for variant in variants(spec)}):
        if width % (2 * SPATIAL) or height % (2 * SPATIAL):
            rule = f"1.5 times a video of {width}x{height} is no whole number of latents"
            remedy = f"write width and height that are multiples of {2 * SPATIAL}"
            yield BrokenRule(place, value, rule, remedy, SIZES)


def gang_refusal(engine: str, topology: Topology) -> tuple[str, str] | None:
    """The rule that a gang breaks and the remedy; None without a gang, or where the engine shares its
    steps."""
    if engine != "comfyui" or not topology.gangs:
        return None
    rule = "ComfyUI's core computes all forwards of a step itself: the ranks of a gang cannot share them"
    return rule, "write workers of one rank, such as `sample=4`, or take the diffusers engine"
