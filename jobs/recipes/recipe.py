"""The recipes that ship with the farm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jobs.parsing.document import read_document
from jobs.spec.base import Many, Model
from jobs.spec.engine import PassStrengths

FOLDER = Path(__file__).parent
Section = Literal["engine", "defaults", "upscale", "decode"]
EngineField = Literal[
    "checkpoint",
    "diffusion_model",
    "text_encoder",
    "upscale_model",
    "temporal_upscale_model",
    "audio_vae",
    "vae",
    "loras",
]
SECOND_PASS: tuple[EngineField, ...] = ("upscale_model", "temporal_upscale_model", "loras")
"""Files without which a recipe's second pass cannot be."""
RecipeEngine = Literal["diffusers", "comfyui"]
Part = Literal["transformer", "connectors", "projection", "vae", "sound", "text_encoder", "upsampler", "lora"]
"""Of LTX-2, the connectors lie with the transformer, and the projection makes the states of the text encoder
fit them; sound is the audio VAE and the vocoder."""


class Licence(Model):
    """The licence of the weights; `date` is its own, ISO, None where the published sources do not say it."""

    name: str
    url: str
    note: str
    date: str | None = None


class ModelFile(Model):
    """A file, or the folders of a part, in a repository of the hub. A LoRA has a `strength`; the folders of a
    text encoder may have their `projection` in a file of its own."""

    repo: str
    file: str | None = None
    folders: Many[str] = ()
    strength: PassStrengths | None = None
    projection: ModelFile | None = None

    @property
    def name(self) -> str:
        """Of the file, or of the repository whose folders it names."""
        return (self.file or self.repo).rpartition("/")[2]


class Recipe(Model):
    """Published settings of a model.

    `fills` are sections of a spec: what a spec leaves out comes from there. `files` are by the field of
    `engine` that names them, as the first of `engines` reads them, `files_of` those that another has in
    another form; `sizes` are the parameters of each part of a file, by its name, or of the folders, by that
    of their repository; `omits` says what of the published settings the farm has no form for.
    """

    name: str
    title: str
    family: Literal["ltx-video", "ltx-2"]
    size: str
    versions: Many[str]
    variant: Literal["dev", "distilled"]
    engines: Many[RecipeEngine]
    source: Many[str]
    licence: Licence
    files: dict[EngineField, ModelFile]
    files_of: dict[RecipeEngine, dict[EngineField, ModelFile]] = Field({})
    sizes: dict[str, dict[Part, int]]
    fills: dict[Section, dict[str, Any]]
    omits: Many[str] = Field(())

    @property
    def model(self) -> ModelFile:
        """The file that holds the transformer."""
        return self.files["checkpoint" if "checkpoint" in self.files else "diffusion_model"]

    @property
    def downloads(self) -> Iterator[tuple[EngineField, ModelFile]]:
        """Every file that is fetched, with the field that names it; a projection behind its encoder."""
        for field, file in self.files.items():
            yield field, file
            if file.projection is not None:
                yield field, file.projection

    def for_engine(self, name: RecipeEngine) -> Recipe:
        """The recipe with this engine first, and its files in the form that this one reads."""
        others = tuple(engine for engine in self.engines if engine != name)
        files = {**self.files, **self.files_of.get(name, {})}
        return self.model_copy(update={"engines": (name, *others), "files": files})

    def engine_fields(self, place: Callable[[ModelFile], str]) -> dict[EngineField, Any]:
        """The fields of a spec's `engine` that name its files, each where `place` says that it lies."""
        fields: dict[EngineField, Any] = {}
        for field, file in self.files.items():
            path = place(file)
            if file.strength is not None:
                fields[field] = [lora_entry(path, file.strength)]
            else:
                fields[field] = [path, place(file.projection)] if file.projection else path
        return fields

    @property
    def two_passes(self) -> bool:
        """Whether the published pipeline's second pass is in the recipe."""
        return "upscale" in self.fills

    @property
    def temporal(self) -> int:
        """How many times the frame rate of its passes its films have by temporal rounds; 0 without them."""
        return int(self.fills["upscale"].get("temporal", 0)) if self.two_passes else 0

    @property
    def levels(self) -> tuple[float, ...] | None:
        """The noise levels of its second pass."""
        return tuple(self.fills["upscale"]["sigmas"]) if self.two_passes else None


def lora_entry(path: str, strength: PassStrengths) -> dict[str, Any]:
    """An entry of `engine.loras`; a pass without the LoRA is left out."""
    return {"path": path, "strength": strength.model_dump(exclude_defaults=True)}


@cache
def recipes() -> Mapping[str, Recipe]:
    """Every recipe by name, sorted."""
    paths = sorted(FOLDER.glob("*.yaml"))
    found = [Recipe.model_validate(read_document(path).data) for path in paths]
    return {recipe.name: recipe for recipe in found}


def find_recipe(name: str) -> Recipe | None:
    """The recipe of that name, None where there is none."""
    return recipes().get(name)


def recipe_for(family: str, version: str, size: str, variant: str) -> Recipe | None:
    """The first of `recipes_for`, None where there is none."""
    return next(iter(recipes_for(family, version, size, variant)), None)


def recipes_for(family: str, version: str, size: str, variant: str) -> tuple[Recipe, ...]:
    """The recipes of a model as `jobs.weights.describe` knows it, those with temporal rounds last; `variant`
    `""` takes the dev ones. LTX-2 comes in one size a version."""
    found = [
        recipe
        for recipe in recipes().values()
        if recipe.family == family
        and version in recipe.versions
        and (family == "ltx-2" or size == recipe.size)
        and recipe.variant == (variant or "dev")
    ]
    return tuple(sorted(found, key=lambda recipe: recipe.temporal))
