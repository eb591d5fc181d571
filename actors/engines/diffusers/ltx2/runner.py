"""The stages of LTX-2 on torch: pictures and sound in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from actors.engines.base import AUDIO, Arriving
from actors.engines.diffusers import kernels
from actors.engines.diffusers.guidance import Forward, make_guidance
from actors.engines.diffusers.ltx2.denoise import Context, Pass, Transformer, denoise
from actors.engines.diffusers.ltx2.loading import Ltx2Loader
from actors.engines.diffusers.ltx2.pieces import Sound, held_but, with_guides, within_clip
from actors.engines.diffusers.ltx2.sound.codec import SoundCodec, placed
from actors.engines.diffusers.ltx2.timing import Heard, heard_of
from actors.engines.diffusers.ltx_video.runner import Runner, noises_of, sampler_of
from actors.engines.latents import lasting
from actors.engines.schedule import LTX2_TOKENS, explicit, truncated
from actors.engines.transfer import bring_home
from actors.payload import Payload, from_torch
from jobs.frames import frames_of

if TYPE_CHECKING:
    from actors.engines.diffusers.files import ModelFiles
    from actors.engines.pieces import PassSound, Piece
    from jobs.planning.params import DecodeParams, EncodeAudio, PassParams
    from jobs.planning.sampling import Sampling


class Ltx2Runner(Runner):
    """As `Runner`, with a model that always makes sound beside the picture: where a job asks for none it is
    left out of the film, since the picture was trained with it."""

    def _loaders(self, files: ModelFiles, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
        loader = Ltx2Loader(files, dtype, self.device, self.fp8)
        return {
            "prompts": loader.prompts,
            "codec": loader.codec,
            "sound": loader.sound,
            "denoising": loader.denoising,
            "upsampler": loader.upsampler,
            "temporal_upsampler": loader.temporal_upsampler,
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
    def denoise(
        self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload | Arriving:
        """A second pass makes sound anew over that of the first, as Lightricks' pipelines do."""
        model: Transformer = self.residents.get("denoising")
        model.loras.use(run.which, run.loras)
        clip, guides = self._clip(run, pieces[0]), self._here(pieces[1:])
        how = Pass(
            sigmas=sigmas_of(run.sampling),
            frame_rate=run.frame_rate,
            noises=noises_of(run, clip),
            sampler=sampler_of(run.sampling),
            guidance=make_guidance(run.sampling, model.layers, sound=True),
            ranks=self.ranks,
            within=within_clip(guides),
        )
        placed_pieces = with_guides(clip, guides, pieces[0].kept)
        heard = self._heard(run, sound)
        made, audio = denoise(model, how, placed_pieces, heard, self._contexts(conditioning))
        return bring_home({"latents": made[0].contiguous(), AUDIO: audio.contiguous()})

    @torch.inference_mode()
    def decode_sound(self, params: DecodeParams, latents: Payload) -> tuple[np.ndarray, int]:
        """The sound of the chunk's clip, from the moment at which its first frame is shown until its last one
        has been."""
        codec: SoundCodec = self.residents.get("sound")
        made_for = params.sound
        assert made_for is not None
        frames = frames_of(len(made_for))
        late_s = Heard.at(made_for.start, frames, params.frame_rate).shift_s
        sound = lasting(self._tensor(latents, AUDIO), frames / params.frame_rate - late_s)
        return placed(codec.decode(sound), codec.rate, late_s).cpu().numpy(), codec.rate

    def attention_choice(self) -> str:
        return kernels.DEFAULT

    def _heard(self, run: PassParams, sound: PassSound) -> Sound:
        """The sound at its place; what the chain has of it is held."""
        place = heard_of(run.span, run.frame_rate)
        if sound.latents is None:
            channels, bins = self.residents.get("sound").shape
            latents = torch.zeros(1, channels, place.latents, bins)
        else:
            # Of a clip that was cut out of a longer one the end is heard, at which both stop.
            latents = torch.from_numpy(np.array(sound.latents[:, :, -place.latents :]))
        hold = held_but(latents.shape[2], sound.made_s) if sound.held else torch.zeros(latents.shape[2])
        if sound.before is not None:
            before = torch.from_numpy(np.array(sound.before))
            kept = min(place.kept, before.shape[2], latents.shape[2])
            latents[:, :, :kept] = before[:, :, before.shape[2] - kept :]
            hold[:kept] = 1.0
        return Sound(latents, hold, place.shift_s)

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
    return truncated(sampling.steps, sampling.denoise, LTX2_TOKENS, shifts)
