"""From plan to stage-task graph: which tasks there are, what each needs, and how large its result will be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.canonical import sha256_of
from jobs.errors import InputError, Problem
from jobs.frames import LATENT_CHANNELS, SPATIAL, ChunkSpan, context_chunks, frames_of
from jobs.planning.choices import shots_to_render
from jobs.planning.guides import encoding, reference_encoding
from jobs.planning.params import (
    DecodeParams,
    EncodeAudio,
    EncodeSource,
    EncodeText,
    PassParams,
    ReferenceUse,
    StageParams,
    Tiles,
    Upsampling,
)
from jobs.planning.sampling import GuideUse
from jobs.planning.windows import shown_chain
from jobs.spec.engine import own_loras
from jobs.tasks.retakes import (
    encoded_source,
    makes_sound,
    partly_made,
    sampled_sound,
    shown_source,
    shown_source_id,
)
from jobs.tasks.second_pass import second_clip, second_sound
from jobs.tasks.segments import encodings, segment_tasks
from jobs.tasks.task import Need, Stage, StageTask, TaskGraph, task_id

if TYPE_CHECKING:
    from jobs.planning.planned import HeardSound, Plan, PlannedChunk, PlannedGuide, PlannedVideo

TEXT_BYTES = 2 * 256 * 4096 * 4
AUDIO_BYTES_PER_FRAME = 16 * 1024


def build_graph(plan: Plan) -> TaskGraph:
    """Every stage task of the plan, with its needs. Raises InputError where two unequal ones have one id."""
    tasks: dict[str, StageTask] = {}
    ways = {video.name: encodings(plan, video) for video in plan.videos}
    for video, chunks in shots_to_render(plan):
        chain = tuple(chunk.span for chunk in chunks)
        for chunk in chunks:
            made = _ChunkTasks(plan, video, chunk, chain).all()
            for task in (*made, *segment_tasks(plan, video, chunk, ways[video.name])):
                _require_same(tasks.setdefault(task.id, task), task)
    return link(_needs_first(tasks))


def _require_same(first: StageTask, task: StageTask) -> None:
    """Encodes that several chunks share are made once; two other tasks with one id would be one result."""
    if first is task or replace(task, video=first.video, chunk=first.chunk, shot=first.shot) == first:
        return
    rule = f"tasks have names of their own; {first.video} has it too"
    raise InputError([Problem(f"video {task.video}", f"task {task.id}", rule, "give the video another name")])


def latent_bytes(width: int, height: int, latents: int) -> int:
    """Bytes of float32 latents `[1, 128, latents, height/32, width/32]` for pixels `width` x `height`."""
    return LATENT_CHANNELS * latents * (height // SPATIAL) * (width // SPATIAL) * 4


def _needs_first(tasks: dict[str, StageTask]) -> dict[str, StageTask]:
    """The tasks in plan order, but none before its needs: a lagging decode needs the next chunk's latents."""
    ordered: dict[str, StageTask] = {}

    def place(task: StageTask) -> None:
        for need in task.needs:
            if need.task not in ordered:
                place(tasks[need.task])
        ordered.setdefault(task.id, task)

    for task in tasks.values():
        place(task)
    return ordered


def link(tasks: Mapping[str, StageTask]) -> TaskGraph:
    """The graph of these tasks, each after its needs."""
    dependents: dict[str, list[str]] = {task: [] for task in tasks}
    for task in tasks.values():
        for name in dict.fromkeys(need.task for need in task.needs):
            dependents[name].append(task.id)
    return TaskGraph(tasks, {task: tuple(after) for task, after in dependents.items()})


class _ChunkTasks:
    """The tasks of one chunk up to its decode, encodes first. `chain` are the spans of its whole shot, but of
    a retake, which is a clip of its own."""

    def __init__(
        self, plan: Plan, video: PlannedVideo, chunk: PlannedChunk, chain: Sequence[ChunkSpan]
    ) -> None:
        self.plan, self.video, self.chunk = plan, video, chunk
        alone = chunk.retake is not None
        self.chain = (chunk.span,) if alone else chain
        self.place = 0 if alone else chunk.index_in_shot
        self.base, self.final = (video.base_width, video.base_height), (video.width, video.height)
        self.made: list[StageTask] = []
        self.upscale = None if video.draft else plan.upscale
        modes = dict(plan.resolved)
        auto = chunk.attention_mode == "auto"
        self.attention_mode = modes.get("attention_mode", "auto") if auto else chunk.attention_mode

    def all(self) -> list[StageTask]:
        self.made.clear()
        if self.chunk.kind == "kept":
            self._show()
            return self.made
        if self.chunk.kind == "source":
            self._encode_source()
        else:
            self._sample()
        if self.upscale is not None:
            self._upscale()
        self._decode()
        if self.chunk.retake is not None:
            self._show(shown_source_id(self.chunk))
        return self.made

    def _add(self, stage: Stage, needs: list[Need], params: StageParams, size: int, name: str = "") -> str:
        chunk = self.chunk
        task = name or task_id(chunk.video, chunk.index, stage)
        self.made.append(
            StageTask(task, stage, chunk.video, chunk.index, chunk.shot, tuple(needs), params, size)
        )
        return task

    def _encode(self, kind: str, params: StageParams, size: int) -> str:
        name = f"encode/{kind}-{sha256_of(params)[:12]}"
        return self._add(Stage.ENCODE, [], params, size, name)

    def _base_bytes(self, latents: int) -> int:
        return latent_bytes(*self.base, latents)

    def _text(self) -> Need:
        params = EncodeText(self.chunk.prompt, self.chunk.negative)
        return Need("conditioning", self._encode("text", params, TEXT_BYTES))

    def _encode_source(self) -> None:
        self._encode("source", self._source_params(), self._base_bytes(self.chunk.span.new))

    def _show(self, name: str = "") -> None:
        params = shown_source(self.chunk, self.video)
        self._add(Stage.DECODE, [], params, params.frames * params.width * params.height * 3, name)

    def _source_params(self, chunk: PlannedChunk | None = None) -> EncodeSource:
        opens, video = chunk or self.chunk, self.video
        source, makes = opens.source, opens.sound == "generate"
        assert source is not None
        return EncodeSource(
            kind=source.kind,
            path=source.path,
            width=video.base_width,
            height=video.base_height,
            frames=source.frames,
            frame_rate=video.frame_rate,
            skip_frames=source.skip_frames,
            sample_rate=video.sound.sample_rate if video.sound and makes else None,
            sound_start_s=source.sound_start_s if makes else 0.0,
            fit=source.fit,
        )

    def _latents_of(self, index: int) -> str:
        """Task that makes the base latents of chunk `index` of this video."""
        chunk = self.video.chunks[index]
        if chunk.kind == "source":
            return f"encode/source-{sha256_of(self._source_params(chunk))[:12]}"
        return task_id(chunk.video, index, Stage.SAMPLE)

    def _final_latents_of(self, index: int) -> str:
        """Task that makes the latents of chunk `index` that are decoded."""
        second = task_id(self.video.name, index, Stage.UPSCALE)
        return self._latents_of(index) if self.upscale is None else second

    def _sample(self) -> None:
        chunk = self.chunk
        needs = [self._text(), *self._guide_needs(chunk.guides, self.base)]
        if chunk.continues:
            needs.append(Need("previous", self._latents_of(chunk.index - 1)))
        if chunk.heard is not None:
            needs.append(self._audio_need(chunk.heard))
        if chunk.retake is not None:
            clip = encoded_source(chunk, self.video)
            needs.append(Need("source", self._encode("source", clip, self._base_bytes(chunk.span.sampled))))
        looked_at = list(self._references())
        needs += [need for need, _ in looked_at]
        params = replace(
            self._pass(chunk.guides, self.base),
            seed=chunk.seed,
            sampling=chunk.sampling,
            audio_mode=sampled_sound(chunk),
            references=tuple(use for _, use in looked_at),
            retake=partly_made(chunk.retake) if chunk.retake else None,
            loras=own_loras(chunk.loras, "sample", self.plan.engine),
        )
        self._add(Stage.SAMPLE, needs, params, self._base_bytes(chunk.span.sampled))

    def _pass(self, guides: Sequence[PlannedGuide], size: tuple[int, int]) -> PassParams:
        """What the passes of a chunk have in common, of this width and height."""
        chunk, video = self.chunk, self.video
        return PassParams(
            width=size[0],
            height=size[1],
            span=chunk.span,
            frame_rate=video.frame_rate,
            seed=chunk.upscale_seed,
            sampling=chunk.sampling,
            guides=tuple(GuideUse(g.frame, g.strength, g.image_strength) for g in guides),
            overlap_strength=chunk.overlap_strength,
            attention_mode=self.attention_mode,
            ffn_chunks=chunk.ffn_chunks,
        )

    def _guide_needs(self, guides: Sequence[PlannedGuide], size: tuple[int, int]) -> Iterator[Need]:
        """The images and held clips, of this width and height."""
        for guide in guides:
            kind, params, latents = encoding(guide, size, self.video.frame_rate)
            yield Need("guide", self._encode(kind, params, latent_bytes(*size, latents)))

    def _references(self) -> Iterator[tuple[Need, ReferenceUse]]:
        for wanted in self.chunk.references:
            kind, params, latents = reference_encoding(wanted, self.base, self.video.frame_rate)
            bytes_ = latent_bytes(params.width, params.height, latents)
            use = ReferenceUse(latents, wanted.scale, wanted.strength, wanted.attention)
            yield Need("reference", self._encode(kind, params, bytes_)), use

    def _audio_need(self, heard: HeardSound) -> Need:
        frames = frames_of(self.chunk.span.sampled)
        params = EncodeAudio(
            path=heard.path,
            start_sample=heard.samples.start,
            stop_sample=heard.samples.stop,
            sample_rate=heard.sample_rate,
            frame_rate=self.video.frame_rate,
            frames=frames,
        )
        return Need("audio", self._encode("audio", params, frames * AUDIO_BYTES_PER_FRAME))

    def _upscale(self) -> None:
        chunk, plan = self.chunk, self.upscale
        assert plan is not None
        sampling = plan.sampling if chunk.kind != "source" else replace(plan.sampling, steps=0, sigmas=None)
        first = chunk.index - chunk.index_in_shot
        shot = self.video.chunks[first : first + len(self.chain)]
        clip = second_clip(shot, chunk.index_in_shot, plan.joint, sampling)
        needs = [Need("latents", self._latents_of(first + source)) for source in clip.sources]
        if sampling.denoises:
            needs += [self._text(), *self._guide_needs(clip.guides, self.final)]
        if clip.excerpt is None and chunk.continues:
            needs.append(Need("previous", self._final_latents_of(chunk.index - 1)))
        params = replace(
            self._pass(clip.guides, self.final),
            span=clip.span,
            sampling=sampling,
            audio_mode=second_sound(chunk.sound, plan.joint),
            replaced=clip.replaced,
            upsampling=Upsampling(plan.adain, plan.spatial),
            excerpt=clip.excerpt,
            loras=own_loras(chunk.loras if sampling.denoises else (), "upscale", self.plan.engine),
        )
        self._add(Stage.UPSCALE, needs, params, latent_bytes(*self.final, clip.span.sampled))

    def _decode(self) -> None:
        chunk, video, decode = self.chunk, self.video, self.plan.decode
        if not chunk.window.window:
            return
        first = chunk.index - self.place
        chain = shown_chain(self.chain, self.upscale.joint if self.upscale else None)
        sources = range(1) if chunk.retake else context_chunks(chain, self.place, chunk.window)
        needs = [Need("latents", self._final_latents_of(first + k)) for k in sources]
        tiling = decode.tiling
        params = DecodeParams(
            width=video.width,
            height=video.height,
            spans=tuple(chain[k].artifact for k in sources),
            own=sources.index(self.place),
            window=chunk.window,
            seed=chunk.decode_seed,
            frame_rate=video.frame_rate,
            tiling=Tiles(tiling.tile_latents, tiling.overlap_latents) if tiling else None,
            sound=chunk.span.artifact if makes_sound(chunk) else None,
            timestep=decode.timestep,
            noise_scale=decode.noise_scale,
            tone_map=self.upscale.tone_map if self.upscale else 0.0,
        )
        self._add(Stage.DECODE, needs, params, len(chunk.window.keep) * video.width * video.height * 3)
