"""From plan to stage-task graph: which tasks there are, what each needs, and how large its result will be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.errors import InputError, Problem
from jobs.frames import DecodeWindow, Span, context_chunks
from jobs.planning.choices import shots_to_render
from jobs.planning.params import (
    DecodeParams,
    PassParams,
    Tiles,
    Upsampling,
)
from jobs.planning.rounds.layout import canvas_seams
from jobs.planning.windows import decode_windows, shown_chain, waits_for_none
from jobs.spec.engine import own_loras
from jobs.tasks.inputs import ChunkInputs
from jobs.tasks.linking import link, needs_first
from jobs.tasks.retakes import (
    encoded_source,
    makes_sound,
    partly_made,
    sampled_sound,
    shown_source,
    shown_source_id,
)
from jobs.tasks.rounds import (
    Rounds,
    canvas_params,
    decodes_of,
    first_slots,
    guides_inside,
    tile_params,
)
from jobs.tasks.second_pass import SecondClip, second_clip, second_sound
from jobs.tasks.segments import encodings, segment_tasks
from jobs.tasks.task import Need, Stage, StageTask, TaskGraph, latent_bytes

if TYPE_CHECKING:
    from jobs.planning.planned import Plan, PlannedGuide, UpscalePlan


def build_graph(plan: Plan) -> TaskGraph:
    """Every stage task of the plan, with its needs. Raises InputError where two unequal ones have one id."""
    tasks: dict[str, StageTask] = {}
    ways = {video.name: encodings(plan, video) for video in plan.videos}
    for video, chunks in shots_to_render(plan):
        chain = tuple(chunk.span for chunk in chunks)
        joint = plan.upscale.joint if plan.upscale and not video.draft else None
        laid = shown_chain(chain, joint, video.temporal)
        for chunk in chunks:
            made = _ChunkTasks(plan, video, chunk, chain, laid).all()
            for task in (*made, *segment_tasks(plan, video, chunk, ways[video.name])):
                _require_same(tasks.setdefault(task.id, task), task)
    return link(needs_first(tasks))


def _require_same(first: StageTask, task: StageTask) -> None:
    """Encodes that several chunks share are made once; two other tasks with one id would be one result."""
    if first is task or replace(task, video=first.video, chunk=first.chunk, shot=first.shot) == first:
        return
    rule = f"tasks have names of their own; {first.video} has it too"
    raise InputError([Problem(f"video {task.video}", f"task {task.id}", rule, "give the video another name")])


class _ChunkTasks(ChunkInputs):
    """The tasks of one chunk up to its decodes, encodes first."""

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
            self._upscale(self.upscale)
        self._decode()
        if self.chunk.retake is not None:
            self._show(shown_source_id(self.chunk))
        return self.made

    def _encode_source(self) -> None:
        self.encode("source", self.source_params(), self.base_bytes(self.chunk.span.new))

    def _show(self, name: str = "") -> None:
        params = shown_source(self.chunk, self.video)
        self.add(Stage.DECODE, [], params, params.frames * params.width * params.height * 3, name)

    def _sample(self) -> None:
        chunk = self.chunk
        needs = [self.text(), *self.guide_needs(chunk.guides, self.base)]
        if chunk.continues:
            needs.append(Need("previous", self.latents_of(chunk.index - 1)))
        if chunk.heard is not None:
            needs.append(self.audio_need(chunk.heard))
        if chunk.retake is not None:
            clip = encoded_source(chunk, self.video)
            needs.append(Need("source", self.encode("source", clip, self.base_bytes(chunk.span.sampled))))
        looked_at = list(self.references())
        needs += [need for need, _ in looked_at]
        params = replace(
            self.pass_params(chunk.guides, self.base),
            seed=chunk.seed,
            sampling=chunk.sampling,
            audio_mode=sampled_sound(chunk),
            references=tuple(use for _, use in looked_at),
            retake=partly_made(chunk.retake) if chunk.retake else None,
            loras=own_loras(chunk.loras, "sample", self.plan.engine),
            # A draft's, too: it samples what its film samples.
            slots=first_slots(chunk.span) if self.plan.temporal > 1 else (),
        )
        self.add(Stage.SAMPLE, needs, params, self.base_bytes(chunk.span.sampled + len(params.slots)))

    def _upscale(self, plan: UpscalePlan) -> None:
        chunk = self.chunk
        sampling = plan.sampling if chunk.kind != "source" else replace(plan.sampling, steps=0, sigmas=None)
        first = chunk.index - self.place
        shot = self.video.chunks[first : first + len(self.chain)]
        clip = second_clip(shot, self.place, plan.joint, sampling)
        needs = [Need("latents", self.latents_of(first + source)) for source in clip.sources]
        text = [self.text()] if sampling.denoises else []
        guides = list(self.guide_needs(clip.guides, self.final)) if sampling.denoises else []
        params = replace(
            self.pass_params(clip.guides, self.final),
            span=clip.span,
            sampling=sampling,
            audio_mode=second_sound(chunk.sound, plan.joint),
            replaced=clip.replaced,
            upsampling=Upsampling(plan.adain, plan.spatial),
            excerpt=clip.excerpt,
            loras=own_loras(chunk.loras if sampling.denoises else (), "upscale", self.plan.engine),
        )
        before = self._before(clip)
        if plan.temporal == 1:
            size = latent_bytes(*self.final, clip.span.sampled)
            self.add(Stage.UPSCALE, [*needs, *text, *guides, *before], params, size)
            return
        followed = self.place + 1 < len(self.chain)
        slots, keyframes = self._rounds(self.place).keyframes(followed)
        params = replace(params, slots=slots, keyframes=keyframes)
        size = latent_bytes(*self.final, clip.span.sampled + len(keyframes))
        self.add(Stage.UPSCALE, [*needs, *text, *guides, *before], params, size)
        self._refine(params, clip.guides, text, guides)

    def _before(self, clip: SecondClip) -> Iterator[Need]:
        """What a second pass has of the one before it; where none waits for another, for temporal rounds, the
        last still of its first pass."""
        if not self.chunk.continues:
            return
        if clip.excerpt is None:
            yield Need("previous", self.final_latents_of(self.chunk.index - 1))
        elif self.video.temporal > 1:
            yield Need("keyframes", self.latents_of(self.chunk.index - 1))

    def _rounds(self, place: int) -> Rounds:
        """Those of the chunk at that place of the shot."""
        index = self.chunk.index - self.place + place
        return Rounds(self.video.name, index, waits_for_none(self.chain[place]), self.video.temporal)

    def _refine(
        self, second: PassParams, guides: Sequence[PlannedGuide], text: list[Need], images: list[Need]
    ) -> None:
        """The temporal rounds of the chunk, behind its `second` pass."""
        chunk, rounds = self.chunk, self._rounds(self.place)
        second = replace(second, loras=own_loras(chunk.loras, "rounds", self.plan.engine))
        # Also of a silent film: the model makes sound beside the picture, which it was trained with.
        sound = Need("sound", self.latents_of(chunk.index))
        for number in rounds.numbers:
            canvas = rounds.canvas_id(number)
            parts = [Need("latents", name) for name in rounds.sources(number)]
            carried = [Need("carried", rounds.canvas_id(number - 1))] if number > 1 else []
            made = canvas_params(rounds, number, second)
            size = latent_bytes(*self.final, made.latents + len(canvas_seams(rounds.span.sampled, number)))
            self.add(Stage.UPSCALE, [*parts, *carried], made, size, canvas)
            for at, tile in enumerate(rounds.tiles(number)):
                inside = guides_inside(guides, tile, number)
                params = tile_params(rounds, number, at, second, chunk, [use for _, use in inside])
                needs = [Need("canvas", canvas), *text, *(images[guide] for guide, _ in inside), sound]
                size = latent_bytes(*self.final, params.made + len(tile.slots))
                self.add(Stage.UPSCALE, needs, params, size, rounds.tile_id(number, at))

    def _decode(self) -> None:
        chunk, chain = self.chunk, self.laid
        if not chunk.window.window:
            return
        first = chunk.index - self.place
        sources = range(1) if chunk.retake else context_chunks(chain, self.place, chunk.window)
        if self.video.temporal == 1:
            shown = [(self.final_latents_of(first + k), chain[k].artifact) for k in sources]
            params = replace(self._decode_params(chunk.window, shown), own=sources.index(self.place))
            self._add_decode(params, shown)
            return
        names = decodes_of(self.video, chunk)
        cut = decode_windows(chunk, self.video.temporal, self.plan.decode.context)
        for name, window in zip(names, cut, strict=True):
            each = (self._rounds(k).shown(chain[k].artifact.start, window.context) for k in sources)
            tiles = [tile for some in each for tile in some]
            params = self._decode_params(window, tiles)
            heard = chunk.window.window if name == names[0] and makes_sound(chunk) else None
            params = replace(params, sound=params.sound if heard else None, heard=heard)
            self._add_decode(params, tiles, name)

    def _add_decode(self, params: DecodeParams, shown: list[tuple[str, Span]], name: str = "") -> None:
        """That of one window; `shown` are the tasks whose latents it reads, and which latents they have."""
        needs = [Need("latents", task) for task, _ in shown]
        if params.heard:
            needs.append(Need("sound", self.latents_of(self.chunk.index)))
        size = len(params.window.keep) * params.width * params.height * 3
        self.add(Stage.DECODE, needs, params, size, name)

    def _decode_params(self, window: DecodeWindow, shown: list[tuple[str, Span]]) -> DecodeParams:
        chunk, video, decode = self.chunk, self.video, self.plan.decode
        tiling = decode.tiling
        return DecodeParams(
            width=video.width,
            height=video.height,
            spans=tuple(span for _, span in shown),
            window=window,
            seed=chunk.decode_seed,
            frame_rate=video.frame_rate,
            tiling=Tiles(tiling.tile_latents, tiling.overlap_latents) if tiling else None,
            sound=chunk.span.artifact if makes_sound(chunk) else None,
            timestep=decode.timestep,
            noise_scale=decode.noise_scale,
            tone_map=self.upscale.tone_map if self.upscale else 0.0,
            temporal=video.temporal,
        )
