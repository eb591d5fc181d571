"""Rules about the files that a spec names: there, readable, of a safe kind, and never overwritten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.places import Location, shown
from jobs.recipes.published import published
from jobs.rules.findings import BrokenRule
from jobs.spec.base import is_there
from jobs.spec.fields import all_settings

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec

PICKLED = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
WEIGHTS = (".safetensors", ".sft", ".gguf", *PICKLED)
MODEL_FIELDS = (
    "checkpoint",
    "diffusion_model",
    "vae",
    "text_encoder",
    "upscale_model",
    "temporal_upscale_model",
    "audio_vae",
)
PARTS = ("text_encoder", "transformer", "vae", "latent_upsampler")
IMAGE_FIELDS = ("first_image", "middle_image", "last_image")


def check_input_files(spec: JobSpec) -> Iterator[BrokenRule]:
    """Images, sounds, source material, LoRAs of shots and fault scripts exist and can be read."""
    for location, path in input_paths(spec):
        fault = _file_fault(Path(path))
        if fault:
            rule = "a readable file; paths are relative to the spec"
            yield BrokenRule(location, f"{shown(path)} {fault}", rule, "give the path of an existing file")


def input_paths(spec: JobSpec) -> Iterator[tuple[Location, str]]:
    """Every input file that is not a model of the whole job, with the place that names it."""
    if spec.engine.fake.faults is not None:
        yield ("engine", "fake", "faults"), spec.engine.fake.faults
    for index, video in enumerate(spec.videos):
        here: Location = ("videos", index)
        if video.source is not None:
            yield (*here, "source", "latent" if video.source.latent else "video"), video.source.path
        for number, track in enumerate(video.sound):
            if track.file is not None:
                yield (*here, "sound", number, "file"), track.file
    for where, settings in all_settings(spec):
        for field in IMAGE_FIELDS:
            path = getattr(settings, field, None)
            if path is not None:
                yield (*where, field), path
        for field in ("images", "references"):
            for place, shown_file in enumerate(getattr(settings, field, ())):
                yield (*where, field, place, "image" if shown_file.image else "video"), shown_file.path
    yield from shot_loras(spec)


def shot_loras(spec: JobSpec) -> Iterator[tuple[Location, str]]:
    """Every LoRA that a shot names, with its place."""
    for where, settings in all_settings(spec):
        for index, lora in enumerate(getattr(settings, "loras", ())):
            yield (*where, "loras", index, "path"), lora.path


def _file_fault(path: Path) -> str:
    """What is wrong with an input file, empty when nothing is."""
    try:
        if path.is_dir():
            return "is a folder"
        if not path.is_file():
            return "does not exist"
        return "" if os.access(path, os.R_OK) else "cannot be read"
    except (OSError, ValueError):
        return "cannot be read"


def _is_folder(path: Path) -> bool:
    return is_there(path) and path.is_dir()


def check_models(spec: JobSpec, ahead: bool = False) -> Iterator[BrokenRule]:
    """Model files that the spec names by path exist; hub ids and ComfyUI names are left to the engine, and
    `ahead` of a download files that a recipe has."""
    for location, reference in model_references(spec):
        if ahead and published(str(location[1]), reference) is not None:
            continue
        fault = _model_fault(spec.engine.name, reference)
        if fault:
            rule = "a model file or folder" + (
                "" if spec.engine.name == "comfyui" else ", or a hub id `owner/name`"
            )
            yield BrokenRule(
                location, f"{shown(reference)} {fault}", rule, "give the path of an existing model"
            )


def model_references(spec: JobSpec) -> Iterator[tuple[Location, str]]:
    """Every model that the engine section names, with its place."""
    for field in MODEL_FIELDS:
        named = getattr(spec.engine, field)
        if isinstance(named, str):
            yield ("engine", field), named
        elif named is not None:
            yield from ((("engine", field, index), one) for index, one in enumerate(named))
    for index, lora in enumerate(spec.engine.loras):
        yield ("engine", "loras", index, "path"), lora.path


def _model_fault(engine: str, reference: str) -> str:
    if engine == "fake" or is_there(Path(reference)):
        return ""
    known = _by_name(reference) if engine == "comfyui" else is_hub_id(reference)
    return "" if known else "does not exist"


def is_hub_id(reference: str) -> bool:
    """Whether a model that is no path here may be a repository of the hub."""
    slashes, suffix = reference.count("/"), Path(reference).suffix.lower()
    return _by_name(reference) and slashes == 1 and suffix not in WEIGHTS


def _by_name(reference: str) -> bool:
    return not Path(reference).is_absolute() and not reference.startswith(".")


def check_text_encoder(spec: JobSpec) -> Iterator[BrokenRule]:
    """The diffusers engine reads its text encoder and tokenizer from one folder, and a projection from files
    behind it; ComfyUI takes files."""
    if spec.engine.name != "diffusers":
        return
    place: Location = ("engine", "text_encoder")
    depends: tuple[Location, ...] = (("engine", "name"),)
    for number, reference in enumerate(spec.engine.text_encoders):
        is_file = _names_a_file(Path(reference))
        if number == 0 and is_file:
            rule = "with diffusers a folder or hub id that holds `text_encoder/` and `tokenizer/`"
            remedy = "give such a folder or hub id, or write `engine.name: comfyui`, which takes the file"
            yield BrokenRule(place, f"{shown(reference)} names a file", rule, remedy, depends)
        elif number and not is_file:
            rule = "with diffusers one folder or hub id, and files of LTX-2's projection behind it"
            yield BrokenRule(place, f"{shown(reference)} names no file", rule, "give one folder", depends)


def _names_a_file(path: Path) -> bool:
    return path.is_file() if is_there(path) else path.suffix.lower() in WEIGHTS


def check_pickles(spec: JobSpec, allow_pickle: bool) -> Iterator[BrokenRule]:
    """Pickled weights run code when they are loaded: only the command line can allow them."""
    if allow_pickle:
        return
    rule = "only `.safetensors`: pickled files can run code"
    inputs = [(at, path) for at, path in input_paths(spec) if at[-1] == "latent" or "loras" in at]
    for location, reference in (*model_references(spec), *inputs):
        if reference.lower().endswith(PICKLED):
            remedy = "convert it to .safetensors, or pass --allow-pickle if you trust it"
            yield BrokenRule(location, shown(reference), rule, remedy)


def check_folders(spec: JobSpec) -> Iterator[BrokenRule]:
    """Of a folder of parts, safetensors alone are loaded, whatever the command line allows."""
    for location, reference in model_references(spec):
        for folder in (Path(reference), *(Path(reference, part) for part in PARTS)):
            if pickled := pickled_weights(folder):
                remedy = f"convert {shown(str(pickled))} to .safetensors"
                rule = "a folder of `.safetensors`: pickled files can run code"
                yield BrokenRule(location, f"{shown(reference)} holds {pickled.name}", rule, remedy)
                break


def pickled_weights(folder: Path) -> Path | None:
    """A pickle in a folder that holds no safetensors; None where there is none."""
    if not _is_folder(folder):
        return None
    files = sorted(folder.iterdir())
    if any(file.suffix.lower() == ".safetensors" for file in files):
        return None
    return next((file for file in files if file.suffix.lower() in PICKLED), None)
