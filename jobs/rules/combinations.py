"""Rules that take more than one field: chains, names, matrix, formats and what each engine can do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from jobs.errors import UsageError
from jobs.formats import CONTAINERS, containers_of
from jobs.frames import TEMPORAL, latents_of
from jobs.places import Location, nearest, place_of, shown
from jobs.planning.expand import Variant, setting, variants
from jobs.rules.explain import explain
from jobs.rules.findings import Finding
from jobs.rules.guiders import check_guider
from jobs.rules.outputs import check_names, check_output_url
from jobs.rules.recipes import check_recipe
from jobs.spec.chunk import MAX_PROMPT, Chunk, Defaults, Extend, Generate
from jobs.spec.job import JobSpec
from jobs.tasks.task import Stage
from jobs.tasks.topology import AUTO, Machine, parse_topology

MAX_VIDEOS = 10_000
MAX_CHUNKS = 100_000
MAX_FILM_FRAMES = 20_000_000
ANY_MACHINE_GPUS = 1e9
DIFFUSERS_SAMPLERS = ("dpmpp_2m", "euler", "euler_ancestral", "heun", "lcm", "res_2s")
GUIDERS = {"diffusers": ("cfg", "stg"), "comfyui": ("cfg", "stg")}
PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,63})\}")

FRAME_DEFAULTS: tuple[Location, ...] = tuple(
    (section, field)
    for section in ("defaults", "matrix")
    for field in ("num_frames", "num_new_frames", "overlap_frames")
)

Rule = Callable[[JobSpec], Iterator[Finding]]


def find_faults(spec: JobSpec) -> list[Finding]:
    """Every broken rule, each place once. Rules on whole films run only where the matrix can be unrolled."""
    found = [finding for rule in (check_matrix, check_amount) for finding in rule(spec)]
    unrolled = () if found else FILM_RULES
    found += [finding for rule in (*FIELD_RULES, *unrolled) for finding in rule(spec)]
    return list({finding.location: finding for finding in reversed(found)}.values())[::-1]


def check_matrix(spec: JobSpec) -> Iterator[Finding]:
    """Keys are fields of `defaults` or words in a prompt; values are legal for them."""
    for key, values in spec.matrix.items():
        if key in Defaults.model_fields:
            yield from _check_matrix_values(key, values)
        elif not any("{" + key + "}" in text for _, text in _prompts(spec)):
            if _lacks_prompt(spec):
                continue
            rule = f"a field of `defaults`, or a word that a prompt names as {{{key}}}"
            near = nearest(key, (*Defaults.model_fields, *_placeholders(spec)))
            remedy = f"did you mean `{near}`?" if near else f"write {{{key}}} into a prompt, or remove it"
            depends = tuple(location for location, _ in _prompts(spec))
            yield Finding(("matrix", key), shown(values), rule, remedy, depends)
        else:
            yield from _check_words(key, values)


def _lacks_prompt(spec: JobSpec) -> bool:
    """Whether some chunk has no prompt at all: the word may belong there."""
    if spec.defaults.prompt or "prompt" in spec.matrix:
        return False
    return not all(chunk.settings.prompt for video in spec.videos for chunk in video.chunks)


def check_placeholders(spec: JobSpec) -> Iterator[Finding]:
    """Every `{word}` in a prompt is a word of the matrix; the model would read the braces."""
    words = [key for key in spec.matrix if key not in Defaults.model_fields]
    for location, text in _prompts(spec):
        unknown = [word for word in PLACEHOLDER.findall(text) if word not in words]
        if unknown:
            near = nearest(unknown[0], words)
            listed = f"the words of `matrix` are {', '.join(words)}" if words else "`matrix` has no words"
            rule = f"a {{word}} in a prompt stands for a word of `matrix`; {listed}"
            other = f"add `{unknown[0]}` to `matrix`, or write it without braces"
            remedy = f"did you mean {{{near}}}?" if near else other
            yield Finding(location, f"{{{unknown[0]}}}", rule, remedy, (("matrix",),))


def check_filled(spec: JobSpec) -> Iterator[Finding]:
    """A prompt stays one with the longest words of the matrix in it, the words in these words included."""
    words = {
        key: [str(value) for value in values]
        for key, values in spec.matrix.items()
        if key not in Defaults.model_fields
    }
    for location, text in _prompts(spec):
        characters = _filled_characters(text, words)
        if characters > MAX_PROMPT:
            rule = f"at most {MAX_PROMPT} characters with the words of `matrix` put in"
            remedy = "name the words less often, or shorten them"
            yield Finding(location, f"up to {characters} characters", rule, remedy, (("matrix",),))


def _filled_characters(text: str, words: Mapping[str, Sequence[str]]) -> int:
    """The most that `Variant.fill` makes of a text: it puts in the words of one key after the other."""
    length, named = len(text), {key: text.count("{" + key + "}") for key in words}
    for key, choices in words.items():
        length += named[key] * (max(map(len, choices)) - len(key) - 2)
        for other in words:
            named[other] += named[key] * max(choice.count("{" + other + "}") for choice in choices)
    return length


def _placeholders(spec: JobSpec) -> list[str]:
    return [word for _, text in _prompts(spec) for word in PLACEHOLDER.findall(text)]


def _check_matrix_values(key: str, values: tuple[Any, ...]) -> Iterator[Finding]:
    for index, value in enumerate(values):
        try:
            Defaults.model_validate({key: value})
        except ValidationError as error:
            problem = next(iter(explain(error, {key: value}).values()))
            yield Finding(("matrix", key, index), problem.value, problem.rule, problem.remedy)


def _check_words(key: str, values: tuple[Any, ...]) -> Iterator[Finding]:
    for index, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if (isinstance(value, str) and len(value) <= 2000) or (number and math.isfinite(value)):
            continue
        rule = "text or a number to put into the prompt"
        yield Finding(("matrix", key, index), shown(value), rule, "put it in quotes")


def _prompts(spec: JobSpec) -> Iterator[tuple[Location, str]]:
    for location, settings in _all_settings(spec):
        if location != ("upscale",):
            yield (*location, "prompt"), settings.prompt or ""
            yield (*location, "negative"), settings.negative
    for field in ("prompt", "negative"):
        for index, text in enumerate(spec.matrix.get(field, ())):
            if isinstance(text, str):
                yield ("matrix", field, index), text


def check_amount(spec: JobSpec) -> Iterator[Finding]:
    """Bounds on what one job may unroll to."""
    combinations = math.prod(len(values) for values in spec.matrix.values())
    videos = combinations * len(spec.videos)
    if videos > MAX_VIDEOS:
        yield Finding(
            ("matrix",), f"{videos} videos", f"at most {MAX_VIDEOS} videos in a job", "split the job"
        )
        return
    per_video = [sum(_repeat(chunk) for chunk in video.chunks) for video in spec.videos]
    if combinations * sum(per_video) > MAX_CHUNKS:
        longest = per_video.index(max(per_video))
        value = f"{combinations * sum(per_video)} chunks in the job"
        yield Finding(("videos", longest, "chunks"), value, f"at most {MAX_CHUNKS} in a job", "split the job")


def _repeat(chunk: Chunk) -> int:
    return chunk.extend.repeat if chunk.extend else 1


def check_chains(spec: JobSpec) -> Iterator[Finding]:
    """Overlaps fit the chunk before, prompts are there, and the first chunk has something to extend."""
    for variant in variants(spec):
        yield from _check_chain(variant)


def _check_chain(variant: Variant) -> Iterator[Finding]:
    video: Location = ("videos", variant.index)
    limit: int | None = None
    before: Location = (*video, "source")
    for index, chunk in enumerate(variant.video.chunks):
        here = (*video, "chunks", index, "generate" if chunk.generate else "extend")
        if not setting(chunk.settings, variant.defaults, "prompt"):
            rule = "every chunk has a prompt, its own or that of `defaults`"
            yield Finding(
                (*here, "prompt"), "nothing", rule, "say what the chunk shows", (("defaults", "prompt"),)
            )
        if chunk.generate is not None:
            limit = latents_of(setting(chunk.generate, variant.defaults, "num_frames"))
        elif chunk.extend is not None:
            if index == 0 and variant.video.source is None:
                remedy = "start with a `generate`, or give the video a `source`"
                yield Finding(here, "the first chunk", "an extend has something to extend", remedy, (before,))
            yield from _check_overlaps(variant, chunk.extend, limit, here, before)
            limit = setting(chunk.extend, variant.defaults, "num_new_frames") // TEMPORAL + 1
        before = here


def _check_overlaps(
    variant: Variant, extend: Extend, limit: int | None, here: Location, before: Location
) -> Iterator[Finding]:
    """Overlap against the chunk before, and, for repetitions, against the extend itself; in latents."""
    overlap = setting(extend, variant.defaults, "overlap_frames") // TEMPORAL
    own_limit = setting(extend, variant.defaults, "num_new_frames") // TEMPORAL + 1
    place = _where_written(extend, "overlap_frames", here)
    if limit is not None and overlap > limit:
        depends = (before, (*before, "num_frames"), (*before, "num_new_frames"), *FRAME_DEFAULTS)
        yield _overlap_finding(place, overlap, limit, f"what {place_of(before)} added", depends)
    elif extend.repeat > 1 and overlap > own_limit:
        depends = ((*here, "num_new_frames"), (*here, "repeat"), *FRAME_DEFAULTS)
        yield _overlap_finding(place, overlap, own_limit, "what the repetition before added", depends)


def _overlap_finding(
    place: Location, overlap: int, limit: int, what: str, depends: tuple[Location, ...]
) -> Finding:
    longest = limit * TEMPORAL
    return Finding(
        place,
        f"{overlap * TEMPORAL} frames",
        f"the blended overlap is no longer than {what}: at most {longest} frames",
        f"write {longest} or less, or make the chunk before longer",
        depends,
    )


def _where_written(chunk: Generate | Extend, field: str, here: Location) -> Location:
    """The field where the chunk sets it, else the chunk: its default does not suit this place."""
    return (*here, field) if field in chunk.model_fields_set else here


def check_length(spec: JobSpec) -> Iterator[Finding]:
    """No film is longer than a player can count."""
    for variant in variants(spec):
        frames = sum(frames_at_most(chunk, variant.defaults) for chunk in variant.video.chunks)
        if frames > MAX_FILM_FRAMES:
            rule = f"at most {MAX_FILM_FRAMES} frames in a film"
            yield Finding(("videos", variant.index, "chunks"), f"{frames} frames", rule, "split the film")


def frames_at_most(chunk: Chunk, defaults: Defaults) -> int:
    """Frames that a chunk adds to its film; an overlap takes some of them away."""
    if chunk.generate is not None:
        return int(setting(chunk.generate, defaults, "num_frames"))
    assert chunk.extend is not None
    return int(setting(chunk.extend, defaults, "num_new_frames")) * chunk.extend.repeat


def check_format(spec: JobSpec) -> Iterator[Finding]:
    """Codec and sound fit the container."""
    output, container = spec.output, CONTAINERS[spec.output.container]
    if output.codec is not None and output.codec not in container.codecs:
        rule = f"{output.container} takes {', '.join(container.codecs)}"
        fits = " or ".join(containers_of(output.codec))
        remedy = f"write `codec: {container.codecs[0]}`, or `container: {fits}`"
        yield Finding(("output", "codec"), shown(output.codec), rule, remedy, (("output", "container"),))
    for index, video in enumerate(spec.videos):
        if video.audio is not None and container.audio is None:
            rule = f"a {output.container} has no sound"
            depends = (("output", "container"),)
            yield Finding(("videos", index, "audio"), video.audio.mode, rule, "use mp4, mov or mkv", depends)


def check_topology(spec: JobSpec) -> Iterator[Finding]:
    """The topology parses and hosts every stage; how many GPUs there are is known only later."""
    if spec.run.topology == AUTO:
        return
    place, value = ("run", "topology"), shown(spec.run.topology)
    try:
        topology = parse_topology(spec.run.topology, Machine(gpus=ANY_MACHINE_GPUS))
    except UsageError as error:
        problem = error.problems[0]
        yield Finding(place, value, problem.rule, problem.remedy)
        return
    missing = topology.missing(stages_of(spec))
    if missing:
        rule = f"the job needs {', '.join(missing)}, which none of these workers hosts"
        yield Finding(place, value, rule, f"add `{missing[0]}=1`, or write `mono` or `auto`", (("upscale",),))


def stages_of(spec: JobSpec) -> frozenset[Stage]:
    """The stages that every job of this spec has."""
    return frozenset(stage for stage in Stage if stage is not Stage.UPSCALE or spec.upscale is not None)


def require_hosts(spec: JobSpec, topology: str) -> None:
    """Raises UsageError for a topology that does not parse, CapacityError for one in which nobody hosts a
    stage of the job."""
    if topology.strip() != AUTO:
        parse_topology(topology, Machine(gpus=ANY_MACHINE_GPUS)).require(stages_of(spec))


def check_audio(spec: JobSpec) -> Iterator[Finding]:
    """The model hears or makes sound only with an engine and a VAE that can."""
    engine = spec.engine
    for index, video in enumerate(spec.videos):
        if video.audio is None or video.audio.mode == "mux":
            continue
        place: Location = ("videos", index, "audio")
        depends: tuple[Location, ...] = (("engine", "name"),)
        if engine.name == "diffusers":
            rule = "the diffusers engine knows no sound but `mode: mux`"
            yield Finding(
                place, video.audio.mode, rule, "write `mode: mux`, or `engine.name: comfyui`", depends
            )
        elif engine.name == "comfyui" and engine.audio_vae is None:
            rule = f"`engine.audio_vae` is needed for audio mode {video.audio.mode}"
            depends = (*depends, ("engine", "audio_vae"))
            yield Finding(place, video.audio.mode, rule, "name the audio VAE, or write `mode: mux`", depends)


def check_samplers(spec: JobSpec) -> Iterator[Finding]:
    """Guiders that the engine has, and samplers of the diffusers engine. Those of ComfyUI differ between its
    versions: its first worker tells them before anything is rendered."""
    engine = spec.engine.name
    for location, settings in _all_settings(spec):
        if engine == "diffusers" and settings.sampler not in DIFFUSERS_SAMPLERS:
            yield _unknown_choice(engine, (*location, "sampler"), settings.sampler, DIFFUSERS_SAMPLERS)
        guiders = GUIDERS.get(engine, (settings.guider.name,))
        if settings.guider.name not in guiders:
            yield _unknown_choice(engine, (*location, "guider"), settings.guider.name, guiders)
        elif engine in GUIDERS:
            yield from check_guider(settings.guider, (*location, "guider"), engine)


def _all_settings(spec: JobSpec) -> Iterator[tuple[Location, Any]]:
    yield ("defaults",), spec.defaults
    if spec.upscale is not None:
        yield ("upscale",), spec.upscale
    for index, video in enumerate(spec.videos):
        for number, chunk in enumerate(video.chunks):
            kind = "generate" if chunk.generate else "extend"
            yield ("videos", index, "chunks", number, kind), chunk.settings


def _unknown_choice(engine: str, location: Location, value: str, known: tuple[str, ...]) -> Finding:
    rule = f"the {engine} engine has {', '.join(known)}"
    return Finding(location, shown(value), rule, "write one of these", (("engine", "name"),))


def check_upscaler(spec: JobSpec) -> Iterator[Finding]:
    """An upscale stage needs an upsampler; only the bundled model brings its own."""
    engine = spec.engine
    if spec.upscale is None or engine.name == "fake" or engine.upscale_model is not None:
        return
    if engine.checkpoint is not None or engine.diffusion_model is not None:
        rule = "`engine.upscale_model` is needed for the upscale stage"
        depends = tuple(
            ("engine", field) for field in ("name", "checkpoint", "diffusion_model", "upscale_model")
        )
        yield Finding(("upscale",), "set", rule, "name the latent upsampler, or leave out `upscale`", depends)


FIELD_RULES: tuple[Rule, ...] = (
    check_placeholders,
    check_filled,
    check_format,
    check_output_url,
    check_topology,
    check_audio,
    check_samplers,
    check_upscaler,
    check_recipe,
)
FILM_RULES: tuple[Rule, ...] = (check_names, check_chains, check_length)
