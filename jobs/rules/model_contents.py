"""Rules about model files, from their headers: each is what its field takes it for, and together they make a
whole model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.places import Location, shown
from jobs.rules.engines import looked_at
from jobs.rules.files import model_references, shot_loras
from jobs.rules.findings import BrokenRule
from jobs.rules.rounds.models import check_round_loras, check_round_models
from jobs.rules.sound.tracks import placed_tracks
from jobs.spec.base import is_there
from jobs.weights.describe import describe
from jobs.weights.header import GGUF, SAFE, WeightsFault, read_weights
from jobs.weights.use import (
    PARTS,
    denoises_pixels,
    folder_of,
    lora_misuse,
    misuse,
    spatial_scale,
    trained_scale,
)

if TYPE_CHECKING:
    from jobs.spec.engine import EngineConfig, Lora
    from jobs.spec.job import JobSpec

ENGINE: Location = ("engine", "name")


def check_weights(spec: JobSpec, bundled: Path | None, skip: Collection[Location]) -> Iterator[BrokenRule]:
    """What is wrong with the model files that are on this machine; `bundled` is the file of the bundled
    model, `skip` is known to be faulty."""
    engine = spec.engine
    if engine.name == "fake":
        return
    here = {
        location: Path(reference)
        for location, reference in (*model_references(spec), *shot_loras(spec))
        if location not in skip and _is_seen(Path(reference))
    }
    faulty = any(location[0] == "engine" for location in skip)
    for location, path in here.items():
        field = str(location[1])
        wrong = misuse(path, field, engine.name) if field in PARTS else None
        if wrong is not None:
            faulty = True
            yield BrokenRule(location, shown(str(path)), wrong.rule, wrong.remedy, (ENGINE,))
    if not faulty:
        yield from _whole(engine, here)
        yield from _sound(spec, here, bundled)
        yield from _loras(engine, here, bundled)
        yield from _references(spec, here, bundled)
        yield from _decode(spec, here)
        yield from _upscaled(spec, here)
        yield from check_round_models(spec, here, bundled)
        yield from check_round_loras(spec, here)


def _upscaled(spec: JobSpec, here: dict[Location, Path]) -> Iterator[BrokenRule]:
    """The upsampler makes the size that the spec asks for."""
    place = ("engine", "upscale_model")
    if spec.upscale is None or place not in here:
        return
    path = here[place]
    made = spatial_scale(read_weights(folder_of(path, "latent_upsampler")))
    if made is not None and made != spec.upscale.spatial:
        rule = f"{path.name} makes width and height {made:g} times as large"
        remedy = f"write {made:g}, or name the upsampler of {spec.upscale.spatial:g}x"
        yield BrokenRule(("upscale", "spatial"), f"{spec.upscale.spatial:g}", rule, remedy, (place,))
    elif spec.upscale.spatial != 2 and _family(spec.engine, here) not in ("ltx-2", None):
        rule, remedy = "only LTX-2 has an upsampler of 1.5x", "write 2, or leave it out"
        yield BrokenRule(("upscale", "spatial"), f"{spec.upscale.spatial:g}", rule, remedy, (place,))


def _family(engine: EngineConfig, here: dict[Location, Path]) -> str | None:
    """Of the transformer; None where its file is not here."""
    path = here.get(("engine", "diffusion_model" if engine.diffusion_model else "checkpoint"))
    return describe(folder_of(path, "transformer")).family if path is not None else None


def _is_seen(path: Path) -> bool:
    """Whether there is a header to read: a pickle has none, hub ids and names of ComfyUI's are left to the
    engine."""
    return is_there(path) and (path.is_dir() or path.suffix.lower() in (*SAFE, GGUF))


def _whole(engine: EngineConfig, here: dict[Location, Path]) -> Iterator[BrokenRule]:
    """Parts that no file holds. A diffusers folder may be one component alone."""
    named = ("engine", "checkpoint") if engine.checkpoint else ("engine", "diffusion_model")
    path = here.get(named)
    if path is None or (engine.checkpoint and engine.diffusion_model):
        return
    depends = (ENGINE, named)
    if engine.vae is None and not _holds(path, "vae"):
        rule = f"{path.name} holds no VAE, and frames are made by one"
        yield BrokenRule(("engine", "vae"), "not given", rule, "name the VAE of the same release", depends)
    if not engine.text_encoders and not _holds(path, "text_encoder"):
        rule = f"{path.name} holds no text encoder, and prompts are read by one"
        yield BrokenRule(("engine", "text_encoder"), "not given", rule, _encoder_remedy(engine), depends)


def _sound(spec: JobSpec, here: dict[Location, Path], bundled: Path | None) -> Iterator[BrokenRule]:
    """Sound that the model hears or makes needs one that can. ComfyUI's core knows models that this does
    not."""
    engine = spec.engine
    if engine.name != "diffusers":
        return
    named = ("engine", "diffusion_model" if engine.diffusion_model else "checkpoint")
    path = here.get(named) if engine.diffusion_model or engine.checkpoint else bundled
    if path is None or describe(folder_of(path, "transformer")).family == "ltx-2":
        return
    for place, track in placed_tracks(spec):
        if track.is_sampled:
            rule = f"{path.name} makes no sound"
            remedy = "give a file with `mode: mux`, or name an LTX-2 checkpoint"
            yield BrokenRule(
                place, "generate" if track.generate else "condition", rule, remedy, (ENGINE, named)
            )


def _decode(spec: JobSpec, here: dict[Location, Path]) -> Iterator[BrokenRule]:
    """LTX-2.5's diffusion decoder has its own noise, and nothing else; it shows latents of LTX-2."""
    named: Location = ("engine", "vae" if spec.engine.vae else "checkpoint")
    if named not in here or not denoises_pixels(here[named]):
        return
    model = here.get(("engine", "diffusion_model" if spec.engine.diffusion_model else "checkpoint"))
    if model is not None and describe(folder_of(model, "transformer")).family == "ltx-video":
        rule = f"a diffusion decoder shows latents of LTX-2, and {model.name} makes those of LTX-Video"
        yield BrokenRule(named, here[named].name, rule, "name the VAE of the same release", (named,))
    tone_map = spec.upscale.tone_map if spec.upscale is not None else 0.0
    settings = {
        ("decode", "timestep"): spec.decode.timestep,
        ("decode", "noise_scale"): spec.decode.noise_scale,
        ("upscale", "tone_map"): tone_map or None,
    }
    for place, value in settings.items():
        if value is not None:
            rule = f"the diffusion decoder of {here[named].name} knows no timestep, noise scale or tone map"
            yield BrokenRule(place, str(value), rule, "leave it out, or name the other video VAE", (named,))


def _references(spec: JobSpec, here: dict[Location, Path], bundled: Path | None) -> Iterator[BrokenRule]:
    """References are for LTX-2, at the scale for which the IC-LoRA was trained, which says so in its file;
    in a pass without them that LoRA has nothing to look at."""
    named = ("engine", "diffusion_model" if spec.engine.diffusion_model else "checkpoint")
    path = here.get(named) if spec.engine.diffusion_model or spec.engine.checkpoint else bundled
    known = path is not None and describe(folder_of(path, "transformer")).family
    with_scale: dict[Location, Lora] = {}
    trained = cache(trained_scale)
    for place, by, each, loras in looked_at(spec):
        if path is not None and known == "ltx-video":
            rule = f"{path.name} is an LTX-Video model, which looks at no references"
            yield BrokenRule(place, shown(each.path), rule, "name an LTX-2 checkpoint", (ENGINE, named))
        for at, lora in loras:
            scale = trained(Path(lora.path))
            with_scale |= {at: lora} if scale else {}
            if scale and scale != each.scale:
                lora_name, at_scale, remedy = (
                    Path(lora.path).name,
                    (*place, "scale"),
                    f"write `scale: {scale}`",
                )
                if place[0] == "defaults" and at[0] != "engine":
                    # Another shot may look at the same ones through another.
                    at_scale = by
                    remedy = f"give the shot `references` of its own, with `scale: {scale}`"
                rule = f"{lora_name} was trained with references {_times_smaller(scale)}"
                yield BrokenRule(at_scale, str(each.scale), rule, remedy, ((*at, "path"),))
    yield from _in_second_pass(spec, with_scale)


def _times_smaller(scale: int) -> str:
    return "of the film's size" if scale == 1 else f"{scale} times smaller than the film"


def _in_second_pass(spec: JobSpec, loras: Mapping[Location, Lora]) -> Iterator[BrokenRule]:
    """`loras` say at which scale they were trained. What temporal rounds ask of them is asked elsewhere."""
    if spec.upscale is None or spec.upscale.temporal:
        return
    for at, lora in loras.items():
        if lora.strengths.upscale:
            rule = "references are shown to the first pass: in the second an IC-LoRA has nothing to look at"
            remedy = "write `strength: {sample: 1.0}`, which leaves it out of the second pass"
            yield BrokenRule((*at, "strength"), "in both passes", rule, remedy, (("upscale",),))


def _encoder_remedy(engine: EngineConfig) -> str:
    if engine.name == "comfyui":
        return "name its file: T5 XXL for LTX-Video, Gemma for LTX-2"
    return "name a folder or hub id that holds `text_encoder/` and `tokenizer/`"


def _holds(path: Path, part: str) -> bool:
    if path.is_dir():
        return (path / part).is_dir()
    return part in describe(path).parts


def _loras(engine: EngineConfig, here: dict[Location, Path], bundled: Path | None) -> Iterator[BrokenRule]:
    """LoRAs whose keys do not all change the model, each file once."""
    named: Location = ("engine", "diffusion_model") if engine.diffusion_model else ("engine", "checkpoint")
    model = here.get(named) if engine.checkpoint or engine.diffusion_model else bundled
    if model is None or not _is_seen(model) or not _readable(model):
        return
    loras = {path: location for location, path in reversed(here.items()) if "loras" in location}
    for path, location in reversed(loras.items()):
        wrong = lora_misuse(path, model, engine.name)
        if wrong is not None:
            yield BrokenRule(location, shown(str(path)), wrong.rule, wrong.remedy, (named,))


def _readable(model: Path) -> bool:
    try:
        read_weights(folder_of(model, "transformer"))
    except (OSError, WeightsFault):
        return False
    return True
