"""The stages of LTX-2 on torch: pictures and sound in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from actors.engines.base import AUDIO, GIVEN, Arriving, when_landed
from actors.engines.diffusers import kernels
from actors.engines.diffusers.codec import VideoCodec, upsample
from actors.engines.diffusers.ltx2.denoise import Context, Pass, denoise
from actors.engines.diffusers.ltx2.guider import Forward, Guider
from actors.engines.diffusers.ltx2.loading import Denoising, Ltx2Loader
from actors.engines.diffusers.ltx2.pieces import Piece, Sound
from actors.engines.diffusers.ltx2.sound import SoundCodec, placed
from actors.engines.diffusers.ltx2.timing import Heard, heard_of
from actors.engines.diffusers.ltx_video.runner import Runner, sampler_of
from actors.engines.schedule import explicit, truncated
from actors.engines.transfer import bring_home
from actors.payload import Payload, from_torch
from jobs.frames import LATENT_CHANNELS, SPATIAL, frames_of
from jobs.tasks.graph import resamples

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.diffusers.files import ModelFiles
    from jobs.planning.params import (
        DecodeParams,
        EncodeAudio,
        GuideUse,
        SampleParams,
        Sampling,
        UpscaleParams,
    )

SCHEDULE_TOKENS = 4096
"""LTX-2's schedule is that of a clip of this many tokens, at every size (ltx-core's `LTX2Scheduler`)."""


class Ltx2Runner(Runner):
    """As `Runner`, with a model that always makes sound beside the picture: where a job asks for none it is
    left out of the film, since the picture was trained with it."""

    def _loaders(self, files: ModelFiles, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
        loader = Ltx2Loader(files, dtype)
        return {
            "prompts": loader.prompts,
            "codec": loader.codec,
            "sound": loader.sound,
            "denoising": loader.denoising,
            "upsampler": loader.upsampler,
        }

    @torch.inference_mode()
    def encode_text(self, prompt: str, negative: str) -> Payload:
        prompts = self.residents.get("prompts")
        found: dict[str, Tensor] = {}
        for which, text in ((Forward.POSITIVE, prompt), (Forward.NEGATIVE, negative)):
            context = prompts.context(text)
            found |= {
                which.value: context.video,
                f"{which.value}_audio": context.audio,
                f"{which.value}_mask": context.mask,
            }
        return from_torch(found)

    @torch.inference_mode()
    def encode_audio(self, params: EncodeAudio, samples: np.ndarray) -> Payload:
        codec: SoundCodec = self.residents.get("sound")
        latents = Heard.of_clip(params.frames, params.frame_rate).latents
        return from_torch({AUDIO: codec.encode(samples, params.sample_rate, latents)})

    @torch.inference_mode()
    def sample(
        self,
        params: SampleParams,
        conditioning: Payload,
        guides: Sequence[Payload],
        tail: Payload | None,
        audio: Payload | None = None,
    ) -> Payload | Arriving:
        rows, columns = params.height // SPATIAL, params.width // SPATIAL
        empty = torch.zeros((1, LATENT_CHANNELS, params.span.sampled, rows, columns))
        pieces = self._pieces(empty, params.overlap_strength, tail, guides, params.guides)
        if params.audio_mode == "condition" and audio is not None:
            sound = _given(self._tensor(audio, AUDIO))
        else:
            sound = self._carried_on(heard_of(params.span, params.frame_rate), tail)
        return self._denoise_both(params, conditioning, pieces, sound)

    @torch.inference_mode()
    def upscale(
        self,
        params: UpscaleParams,
        latents: Payload,
        conditioning: Payload | None,
        guides: Sequence[Payload],
        tail: Payload | None,
    ) -> Payload | Arriving:
        """The second pass hears the sound of the first. It makes it anew, as Lightricks' pipelines do, where
        its chunks are chained; where they are not, nothing would join their sounds, and it is left alone."""
        codec: VideoCodec = self.residents.get("codec")
        start = upsample(
            codec, self.residents.get("upsampler"), self._tensor(latents, "latents"), params.adain
        )
        heard = {AUDIO: self._tensor(latents, AUDIO)} if AUDIO in latents else {}
        if conditioning is None or not resamples(params.sampling):
            return bring_home({"latents": start, **heard})
        pieces = self._pieces(start, params.overlap_strength, tail, guides, params.guides)
        place = heard_of(params.span, params.frame_rate)
        if heard and (GIVEN in latents.meta or not params.guided):
            sound = Sound(heard[AUDIO], torch.ones(heard[AUDIO].shape[2]), place.shift_s)
        else:
            sound = self._carried_on(place, tail, heard.get(AUDIO))
        return self._denoise_both(params, conditioning, pieces, sound)

    @torch.inference_mode()
    def decode_audio(self, params: DecodeParams, latents: Payload) -> tuple[np.ndarray, int]:
        """The sound of the chunk's clip, from the moment at which its first frame is shown."""
        codec: SoundCodec = self.residents.get("sound")
        samples = codec.decode(self._tensor(latents, AUDIO))
        start = params.spans[params.own].start
        late_s = Heard.at(start, frames_of(len(params.spans[params.own])), params.frame_rate).shift_s
        return placed(samples, codec.rate, late_s).cpu().numpy(), codec.rate

    def attention_choice(self) -> str:
        return kernels.DEFAULT

    def _pieces(
        self,
        clip: Tensor,
        overlap_strength: float,
        tail: Payload | None,
        guides: Sequence[Payload],
        uses: Sequence[GuideUse],
    ) -> list[Piece]:
        """The clip, with the chain's tail and an image at frame 0 in it, and every other image as a still."""
        held: list[tuple[int, Tensor, float]] = []
        if tail is not None:
            held.append((0, self._tensor(tail, "latents"), _share(overlap_strength)))
        stills = []
        for payload, use in zip(guides, uses, strict=True):
            frame = use.frame if use.frame >= 0 else frames_of(clip.shape[2]) + use.frame
            image, share = self._tensor(payload, "latents"), _share(use.strength * use.image_strength)
            if frame == 0:
                held.append((0, image, share))
            else:
                stills.append(Piece.image(image.to(clip), frame, share))
        return [Piece.clip(clip, held), *stills]

    def _carried_on(self, place: Heard, tail: Payload | None, start: Tensor | None = None) -> Sound:
        """Sound to be made at `place`, over `start` where there is one; what the chain has of it is held."""
        if start is None:
            channels, bins = self.residents.get("sound").shape
            start = torch.zeros(1, channels, place.latents, bins)
        latents, hold = start.clone(), torch.zeros(start.shape[2])
        if tail is not None and AUDIO in tail:
            before = self._tensor(tail, AUDIO).to(latents)
            kept = min(place.kept, before.shape[2], latents.shape[2])
            latents[:, :, :kept] = before[:, :, before.shape[2] - kept :]
            hold[:kept] = 1.0
        return Sound(latents, hold, place.shift_s)

    def _denoise_both(
        self,
        params: SampleParams | UpscaleParams,
        conditioning: Payload,
        pieces: list[Piece],
        sound: Sound,
    ) -> Payload | Arriving:
        model: Denoising = self.residents.get("denoising")
        sampling = params.sampling
        guider = sampling.guider
        run = Pass(
            sigmas=sigmas_of(sampling),
            frame_rate=params.frame_rate,
            seed=params.seed,
            sampler=sampler_of(sampling),
            guider=Guider.of(guider.name, sampling.cfg, dict(guider.params), model.model.layers),
        )
        made, audio = denoise(model.model, run, pieces, sound, self._contexts(conditioning))
        found = bring_home({"latents": made[0].contiguous(), AUDIO: audio.contiguous()})
        return _noted(found) if sound.frozen else found

    def _contexts(self, conditioning: Payload) -> dict[Forward, Context]:
        return {
            which: self._context(conditioning, which.value) for which in (Forward.POSITIVE, Forward.NEGATIVE)
        }

    def _context(self, conditioning: Payload, name: str) -> Context:
        # Asked of the array in host memory: a GPU would have to be waited for.
        whole = bool(conditioning[f"{name}_mask"].all())
        mask = None if whole else self._tensor(conditioning, f"{name}_mask")
        return Context(self._tensor(conditioning, name), self._tensor(conditioning, f"{name}_audio"), mask)


def sigmas_of(sampling: Sampling) -> Tensor:
    """The noise levels of a run."""
    if sampling.sigmas is not None:
        return explicit(sampling.sigmas)
    shifts = (sampling.max_shift, sampling.base_shift)
    return truncated(sampling.steps, sampling.denoise, SCHEDULE_TOKENS, shifts)


def _given(latents: Tensor) -> Sound:
    return Sound(latents, torch.ones(latents.shape[2]))


def _noted(found: Payload | Arriving) -> Payload | Arriving:
    return when_landed(found, lambda payload: Payload(payload.arrays, {**payload.meta, GIVEN: "yes"}))


def _share(strength: float) -> float:
    return min(1.0, max(0.0, strength))
