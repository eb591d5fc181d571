"""A block of LTX-2's transformer: picture and sound look at themselves, read the prompt, and at each other.

Norms, sums, turns and gates are computed in few kernels: one that reads and writes the whole sequence costs
as much as its memory traffic, and the device idles between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from actors.engines.diffusers.fused.ops import (
    Due,
    Modulation,
    Reading,
    fed_forward,
    modulations,
    rounded_for,
    step,
)
from actors.engines.diffusers.ltx2.attention import (
    Angles,
    Attend,
    AttentionState,
    Context,
    attend,
    attended,
)

PLAIN = nn.Identity()
"""Reads numbers as they are, as what stands between two layers."""


class Side:
    """A block's modules of the picture or of the sound.

    Tables are looked up when they are read: a block that is brought over for a while has others then.
    """

    def __init__(self, block: Any, sound: bool) -> None:
        self.block, self.sound = block, sound
        self.prefix = prefix = "audio_" if sound else ""
        self.own, self.text = getattr(block, f"{prefix}attn1"), getattr(block, f"{prefix}attn2")
        self.norms = [getattr(block, f"{prefix}norm{n}") for n in (1, 2, 3)]
        self.ff = getattr(block, f"{prefix}ff")
        self.other = block.video_to_audio_attn if sound else block.audio_to_video_attn
        self.other_norm = block.video_to_audio_norm if sound else block.audio_to_video_norm

    @property
    def table(self) -> Tensor:
        found: Tensor = getattr(self.block, f"{self.prefix}scale_shift_table")
        return found

    @property
    def words(self) -> Tensor | None:
        """Of the prompt's tokens, from 2.3 on."""
        return getattr(self.block, f"{self.prefix}prompt_scale_shift_table", None)

    @property
    def other_table(self) -> Tensor:
        which = "audio" if self.sound else "video"
        found: Tensor = getattr(self.block, f"{which}_a2v_cross_attn_scale_shift_table")
        return found


@dataclass
class Stream:
    """One side on its way through a block: `x` `[B, N, D]`, and what is due."""

    side: Side
    x: Tensor
    modulations: list[Modulation]
    due: Due | None = None

    def read(self, reading: Reading) -> Any:
        """What layers read, once what is due has been added."""
        self.x, rows = step(self.x, self.due, reading)
        self.due = None
        return rows


def install(transformer: Any) -> AttentionState:
    """Give every block this forward; returns the state that they share."""
    state = AttentionState()
    for block in transformer.transformer_blocks:
        block.forward = partial(_forward, state, Side(block, False), Side(block, True))
    return state


def _forward(
    state: AttentionState, picture: Side, sound: Side, use_a2v_cross_attention: bool = True, **given: Any
) -> tuple[Tensor, Tensor]:
    """As diffusers' `LTX2VideoTransformerBlock`, by keywords. A clip comes alone: it is perturbed as a whole
    or not at all, and picture and sound are kept apart in both directions or in none."""
    skipped = bool(given["all_perturbed"])
    video = Stream(picture, given["hidden_states"], modulations(picture.table, given["temb"]))
    audio = Stream(sound, given["audio_hidden_states"], modulations(sound.table, given["temb_audio"]))
    _look(video, given["video_rotary_emb"], skipped, state.looking)
    _look(audio, given["audio_rotary_emb"], skipped)
    words = ("encoder_hidden_states", "temb_prompt", "encoder_attention_mask")
    _read_prompt(video, *(given[name] for name in words), look=state.reading)
    words = ("audio_encoder_hidden_states", "temb_prompt_audio", "audio_encoder_attention_mask")
    _read_prompt(audio, *(given[name] for name in words))
    if use_a2v_cross_attention:
        _meet(state, video, audio, given)
    return _feed(video), _feed(audio)


def _reads(attn: Any) -> tuple[nn.Module, ...]:
    """What reads the tokens that look: queries, and gates."""
    return (attn.to_q,) if attn.to_gate_logits is None else (attn.to_q, attn.to_gate_logits)


def _look(stream: Stream, angles: Angles, skipped: bool, look: Attend = attend) -> None:
    own, (shift, scale, gate) = stream.side.own, stream.modulations[:3]
    into = (*_reads(own), own.to_k, own.to_v)
    rows = stream.read(Reading(into, stream.side.norms[0], scale, shift))
    stream.due = Due(attended(own, rows, angles, look=look, skipped=skipped), gate)


def _read_prompt(
    stream: Stream, words: Tensor, steps: Tensor | None, mask: Tensor | None, *, look: Attend = attend
) -> None:
    text = stream.side.text
    shift, scale, gate = stream.modulations[6:9] or (None, None, None)
    rows = stream.read(Reading(_reads(text), stream.side.norms[1], scale, shift))
    read = rounded_for(_modulated(words, stream.side.words, steps), (text.to_k, text.to_v))
    stream.due = Due(attended(text, rows, context=Context(read, mask), look=look), gate)


def _modulated(words: Tensor, table: Tensor | None, steps: Tensor | None) -> Tensor:
    """The prompt's tokens, shifted and scaled from 2.3 on; by the noise level, but for 2.5."""
    if table is None:
        return words
    if steps is None:
        shift, scale = table[None, None].to(words).unbind(2)
        return words * (1 + scale) + shift
    shift, scale = (each() for each in modulations(table, steps))
    return words * (1 + scale) + shift


def _meet(state: AttentionState, video: Stream, audio: Stream, given: dict[str, Any]) -> None:
    """The picture hears the sound, and the sound, which hears all of it on each rank, sees the picture."""
    hears, sees = video.side.other, audio.side.other
    seen, heard = given["ca_video_rotary_emb"], given["ca_audio_rotary_emb"]
    picture = _across(video, given["temb_ca_scale_shift"])
    sound = _across(audio, given["temb_ca_audio_scale_shift"])
    keys = (sees.to_k, sees.to_v) if state.split is None else (PLAIN,)
    picture_hears = picture(0, _reads(hears))
    picture_seen = picture(2, keys)
    sound_heard = sound(0, (hears.to_k, hears.to_v))
    sound_sees = sound(2, _reads(sees))
    if state.split is not None:
        picture_seen = rounded_for(state.split.whole(picture_seen, 1), (sees.to_k, sees.to_v))
    made = attended(hears, picture_hears, seen, Context(sound_heard, angles=heard), state.reading)
    video.due = Due(made, _gate(video, given["temb_ca_gate"]))
    made = attended(sees, sound_sees, heard, Context(picture_seen, angles=state.whole_angles(seen)))
    audio.due = Due(made, _gate(audio, given["temb_ca_audio_gate"]))


def _across(stream: Stream, steps: Tensor) -> Any:
    """Reads with the modulation that starts at a place of the table: scale, then shift."""
    table = modulations(stream.side.other_table[:4], steps)
    norm = stream.side.other_norm
    return lambda at, into: stream.read(Reading(into, norm, table[at], table[at + 1]))


def _gate(stream: Stream, steps: Tensor) -> Modulation:
    return modulations(stream.side.other_table[4:], steps)[0]


def _feed(stream: Stream) -> Tensor:
    shift, scale, gate = stream.modulations[3:6]
    ff = stream.side.ff
    rows = stream.read(Reading((ff.net[0].proj,), stream.side.norms[2], scale, shift))
    return step(stream.x, Due(fed_forward(ff, rows), gate))[0]
