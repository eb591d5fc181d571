"""What a chunk's tasks are made from: encodes, and the tasks whose results they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jobs.canonical import sha256_of
from jobs.frames import ChunkSpan, frames_of
from jobs.planning.guides import encoding, reference_encoding
from jobs.planning.params import (
    EncodeAudio,
    EncodeSource,
    EncodeText,
    PassParams,
    ReferenceUse,
    StageParams,
)
from jobs.planning.sampling import GuideUse
from jobs.tasks.task import Need, Stage, StageTask, latent_bytes, task_id

if TYPE_CHECKING:
    from jobs.planning.planned import HeardSound, Plan, PlannedChunk, PlannedGuide, PlannedVideo

TEXT_BYTES = 2 * 256 * 4096 * 4
AUDIO_BYTES_PER_FRAME = 16 * 1024


class ChunkInputs:
    """What the tasks of one chunk have in common: their encodes, and the names of what they are made from.
    `chain` are the spans of its whole shot, `laid` those of what is decoded, but of a retake, which is a clip
    of its own."""

    def __init__(
        self,
        plan: Plan,
        video: PlannedVideo,
        chunk: PlannedChunk,
        chain: Sequence[ChunkSpan],
        laid: Sequence[ChunkSpan],
    ) -> None:
        self.plan, self.video, self.chunk = plan, video, chunk
        alone = chunk.retake is not None
        self.chain, self.laid = ((chunk.span,), (chunk.span,)) if alone else (chain, laid)
        self.place = 0 if alone else chunk.index_in_shot
        self.base, self.final = (video.base_width, video.base_height), (video.width, video.height)
        self.made: list[StageTask] = []
        self.upscale = None if video.draft else plan.upscale
        modes = dict(plan.resolved)
        auto = chunk.attention_mode == "auto"
        self.attention_mode = modes.get("attention_mode", "auto") if auto else chunk.attention_mode

    def add(self, stage: Stage, needs: list[Need], params: StageParams, size: int, name: str = "") -> str:
        chunk = self.chunk
        task = name or task_id(chunk.video, chunk.index, stage)
        self.made.append(
            StageTask(task, stage, chunk.video, chunk.index, chunk.shot, tuple(needs), params, size)
        )
        return task

    def encode(self, kind: str, params: StageParams, size: int) -> str:
        name = f"encode/{kind}-{sha256_of(params)[:12]}"
        return self.add(Stage.ENCODE, [], params, size, name)

    def base_bytes(self, latents: int) -> int:
        return latent_bytes(*self.base, latents)

    def text(self) -> Need:
        params = EncodeText(self.chunk.prompt, self.chunk.negative)
        return Need("conditioning", self.encode("text", params, TEXT_BYTES))

    def source_params(self, chunk: PlannedChunk | None = None) -> EncodeSource:
        opens, video = chunk or self.chunk, self.video
        source, makes = opens.source, opens.sound == "generate"
        assert source is not None
        return EncodeSource(
            kind=source.kind,
            path=source.path,
            width=video.base_width,
            height=video.base_height,
            frames=source.frames,
            frame_rate=video.base_rate,
            skip_frames=source.skip_frames,
            sample_rate=video.sound.sample_rate if video.sound and makes else None,
            sound_start_s=source.sound_start_s if makes else 0.0,
            fit=source.fit,
        )

    def latents_of(self, index: int) -> str:
        """Task that makes the base latents of chunk `index` of this video."""
        chunk = self.video.chunks[index]
        if chunk.kind == "source":
            return f"encode/source-{sha256_of(self.source_params(chunk))[:12]}"
        return task_id(chunk.video, index, Stage.SAMPLE)

    def final_latents_of(self, index: int) -> str:
        """Task that makes the latents of chunk `index` that are decoded."""
        second = task_id(self.video.name, index, Stage.UPSCALE)
        return self.latents_of(index) if self.upscale is None else second

    def pass_params(self, guides: Sequence[PlannedGuide], size: tuple[int, int]) -> PassParams:
        """What the passes of a chunk have in common, of this width and height."""
        chunk, video = self.chunk, self.video
        return PassParams(
            width=size[0],
            height=size[1],
            span=chunk.span,
            frame_rate=video.base_rate,
            seed=chunk.upscale_seed,
            sampling=chunk.sampling,
            guides=tuple(GuideUse(g.frame, g.strength, g.image_strength) for g in guides),
            overlap_strength=chunk.overlap_strength,
            attention_mode=self.attention_mode,
            ffn_chunks=chunk.ffn_chunks,
        )

    def guide_needs(self, guides: Sequence[PlannedGuide], size: tuple[int, int]) -> Iterator[Need]:
        """The images and held clips, of this width and height."""
        for guide in guides:
            kind, params, latents = encoding(guide, size, self.video.base_rate)
            yield Need("guide", self.encode(kind, params, latent_bytes(*size, latents)))

    def references(self) -> Iterator[tuple[Need, ReferenceUse]]:
        for wanted in self.chunk.references:
            kind, params, latents = reference_encoding(wanted, self.base, self.video.base_rate)
            bytes_ = latent_bytes(params.width, params.height, latents)
            use = ReferenceUse(latents, wanted.scale, wanted.strength, wanted.attention)
            yield Need("reference", self.encode(kind, params, bytes_)), use

    def audio_need(self, heard: HeardSound) -> Need:
        frames = frames_of(self.chunk.span.sampled)
        params = EncodeAudio(
            path=heard.path,
            start_sample=heard.samples.start,
            stop_sample=heard.samples.stop,
            sample_rate=heard.sample_rate,
            frame_rate=self.video.base_rate,
            frames=frames,
        )
        return Need("audio", self.encode("audio", params, frames * AUDIO_BYTES_PER_FRAME))
