"""The stages of LTX-2 on torch: pictures and sound in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from actors.engines.base import AUDIO, KEYFRAMES, Arriving
from actors.engines.diffusers import kernels
from actors.engines.diffusers.codec import upsample
from actors.engines.diffusers.guidance import Forward, make_guidance
from actors.engines.diffusers.ltx2.denoise import Context, Pass, Transformer, denoise
from actors.engines.diffusers.ltx2.loading import Ltx2Loader
from actors.engines.diffusers.ltx2.pieces import Sound, held_but, with_guides, within_clip
from actors.engines.diffusers.ltx2.sound.codec import SoundCodec, placed
from actors.engines.diffusers.ltx2.timing import Heard, heard_of, stretched
from actors.engines.diffusers.ltx_video.runner import Runner, noises_of, sampler_of
from actors.engines.diffusers.residents import PROMPTS
from actors.engines.diffusers.samplers import euler_ancestral
from actors.engines.latents import lasting
from actors.engines.noise import ClipNoise
from actors.engines.schedule import LTX2_TOKENS, explicit, truncated
from actors.engines.transfer import bring_home
from actors.payload import Payload, from_torch
from jobs.errors import InvalidInput
from jobs.frames import frames_of

if TYPE_CHECKING:
    from actors.engines.diffusers.files import ModelFiles
    from actors.engines.pieces import PassSound, Piece
    from jobs.planning.params import DecodeParams, EncodeAudio, PassParams
    from jobs.planning.rounds.params import HeardPart, TileParams
    from jobs.planning.sampling import Sampling

NO_SLOTS = (
    "the transformer marks no keyframes, which temporal rounds are made of: name an LTX-2.5 checkpoint, or "
    "write `temporal: 0`"
)


class Ltx2Runner(Runner):
    """As `Runner`, with a model that always makes sound beside the picture: where a job asks for none it is
    left out of the film, since the picture was trained with it."""

    def _loaders(self, files: ModelFiles, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
        loader = Ltx2Loader(files, dtype, self.device, self.fp8)
        return {
            PROMPTS: loader.prompts,
            "codec": loader.codec,
            "sound": loader.sound,
            "denoising": loader.denoising,
            "upsampler": loader.upsampler,
            "temporal_upsampler": loader.temporal_upsampler,
        }

    @torch.inference_mode()
    def encode_text(self, prompt: str, negative: str) -> Payload:
        prompts = self.residents.get(PROMPTS)
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
        clip = self._clip(run, pieces[0])
        placed, within = self._placed(clip, pieces)
        how = Pass(
            sigmas=sigmas_of(run.sampling),
            frame_rate=run.frame_rate,
            noises=noises_of(run, clip),
            sampler=sampler_of(run.sampling),
            within=within,
        )
        made, audio = self._denoised(run, how, placed, self._heard(run, sound), conditioning)
        return bring_home({**made, AUDIO: audio.contiguous()})

    @torch.inference_mode()
    def refine(
        self, run: TileParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload | Arriving:
        """The sound of a tile starts with it, and lasts as long as the transformer takes the tile to last."""
        clip = self._latents(pieces[0])
        placed, within = self._placed(clip, pieces)
        how = Pass(
            sigmas=sigmas_of(run.sampling),
            frame_rate=run.frame_rate,
            noises=ClipNoise(run.seed),
            sampler=partial(euler_ancestral, eta=run.eta),
            within=within,
            refined=clip,
        )
        latents = Heard.of_clip(frames_of(clip.shape[2]), run.frame_rate).latents
        heard = self._held_part(run.heard, sound, latents)
        made, _ = self._denoised(run, how, placed, heard, conditioning)
        return bring_home(made)

    @torch.inference_mode()
    def interpolate(self, latents: Payload) -> Payload | Arriving:
        start, codec = self._tensor(latents, "latents"), self.residents.get("codec")
        return bring_home({"latents": upsample(codec, self.residents.get("temporal_upsampler"), start)})

    def _placed(self, clip: Tensor, pieces: Sequence[Piece]) -> tuple[list[Piece], int]:
        """The pieces with tensors on the device, the clip first, and how many latents of guides stand in
        it. A still that is made from nothing starts from zeros."""
        nothing = torch.zeros_like(clip[:, :, :1])
        beside = [
            replace(piece, latents=nothing if piece.latents is None else self._latents(piece))
            for piece in pieces[1:]
        ]
        return with_guides(clip, beside, pieces[0].kept), within_clip(beside)

    def _denoised(
        self,
        run: PassParams | TileParams,
        how: Pass,
        pieces: Sequence[Piece],
        heard: Sound,
        conditioning: Payload,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The clip and the marked pieces by name, and the sound."""
        model: Transformer = self.residents.get("denoising")
        if not model.marks and any(piece.marked for piece in pieces):
            raise InvalidInput(NO_SLOTS)
        model.loras.use(run.which, run.loras)
        guidance = make_guidance(run.sampling, model.layers, sound=True)
        how = replace(how, guidance=guidance, ranks=self.ranks)
        made, audio = denoise(model, how, pieces, heard, self._contexts(conditioning))
        slots = [latents for latents, piece in zip(made, pieces, strict=True) if piece.marked]
        stills = {KEYFRAMES: torch.cat(slots, dim=2)} if slots else {}
        return {"latents": made[0].contiguous(), **stills}, audio

    def _held_part(self, heard: HeardPart, sound: PassSound, latents: int) -> Sound:
        """What is heard of given sound; where there is none it is made beside the picture."""
        hold = torch.full((latents,), float(sound.held))
        if sound.latents is None:
            return Sound(self._silence(latents), hold)
        return Sound(torch.from_numpy(stretched(sound.latents, heard, latents)), hold)

    def _silence(self, latents: int) -> Tensor:
        channels, bins = self.residents.get("sound").shape
        return torch.zeros(1, channels, latents, bins)

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
            latents = self._silence(place.latents)
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
