"""Tensor names of LTX-2: the published layout -> diffusers, one segment between dots at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ADALN = "adaln_single"
TRANSFORMER: Mapping[str, str] = {
    "patchify_proj": "proj_in",
    "audio_patchify_proj": "audio_proj_in",
    ADALN: "time_embed",
    f"audio_{ADALN}": "audio_time_embed",
    f"prompt_{ADALN}": "prompt_adaln",
    f"audio_prompt_{ADALN}": "audio_prompt_adaln",
    f"av_ca_video_scale_shift_{ADALN}": "av_cross_attn_video_scale_shift",
    f"av_ca_audio_scale_shift_{ADALN}": "av_cross_attn_audio_scale_shift",
    f"av_ca_a2v_gate_{ADALN}": "av_cross_attn_video_a2v_gate",
    f"av_ca_v2a_gate_{ADALN}": "av_cross_attn_audio_v2a_gate",
    "scale_shift_table_a2v_ca_video": "video_a2v_cross_attn_scale_shift_table",
    "scale_shift_table_a2v_ca_audio": "audio_a2v_cross_attn_scale_shift_table",
    "q_norm": "norm_q",
    "k_norm": "norm_k",
}
CONNECTORS: Mapping[str, str] = {
    "video_embeddings_connector": "video_connector",
    "audio_embeddings_connector": "audio_connector",
    "transformer_1d_blocks": "transformer_blocks",
    "text_embedding_projection": "",
    "aggregate_embed": "text_proj_in",
    "video_aggregate_embed": "video_text_proj_in",
    "audio_aggregate_embed": "audio_text_proj_in",
    "q_norm": "norm_q",
    "k_norm": "norm_k",
}
VOCODER: Mapping[str, str] = {
    "ups": "upsamplers",
    "resblocks": "resnets",
    "conv_pre": "conv_in",
    "conv_post": "conv_out",
    "act_post": "act_out",
    "lowpass": "",
}
STATISTICS = "per_channel_statistics"
LATENTS: Mapping[str, str] = {
    f"{STATISTICS}.mean-of-means": "latents_mean",
    f"{STATISTICS}.std-of-means": "latents_std",
}
UNUSED_STATISTICS = frozenset(
    f"{STATISTICS}.{name}" for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
)
"""What published VAEs record beside the mean and the deviation that latents are normalised by."""
PIXEL_DECODER: Mapping[str, str] = {
    ".attn.proj.": ".attn.to_out.0.",
    ".attn.q_norm.": ".attn.norm_q.",
    ".attn.k_norm.": ".attn.norm_k.",
    ".t_embedder.mlp.0.": ".t_embedder.timestep_embedder.linear_1.",
    ".t_embedder.mlp.2.": ".t_embedder.timestep_embedder.linear_2.",
}
"""Parts of names, of the decoder that denoises pixels."""
UNUSED_PIXELS = frozenset({"decoder.type_emb"})
"""What its published file has beside what any reference reads."""

CONNECTOR_KEYS = ("video_embeddings_connector.", "audio_embeddings_connector.")
PROJECTION_KEYS = ("text_embedding_projection.",)


def renamed(name: str, segments: Mapping[str, str]) -> str:
    """`name` with each of its segments replaced; one that becomes empty is left out."""
    replaced = (segments.get(segment, segment) for segment in name.split("."))
    return ".".join(segment for segment in replaced if segment)


def replaced(name: str, parts: Mapping[str, str]) -> str:
    """`name` with each of these parts of it replaced."""
    for part, new in parts.items():
        name = name.replace(part, new)
    return name


def by_new_name(names: Iterable[str], segments: Mapping[str, str]) -> dict[str, str]:
    """What each tensor of the module is called in the file."""
    return {renamed(name, segments): name for name in names}


def vae_names(names: Iterable[str]) -> dict[str, str]:
    """The same of a VAE with convolutions: layers and steps of resolution take turns in the file's numbers;
    in diffusers they are stages, of which the innermost is the middle block."""
    names = [name for name in names if name not in UNUSED_STATISTICS]
    last = max((number for name in names if (number := _block(name, "encoder.down_blocks."))), default=0)
    return {_vae_name(name, last): name for name in names}


def _vae_name(name: str, last_down: int) -> str:
    if name in LATENTS:
        return LATENTS[name]
    name = name.replace(".res_blocks.", ".resnets.")
    for side, inner in (("encoder.down_blocks.", last_down), ("decoder.up_blocks.", 0)):
        number = _block(name, side)
        if number is not None:
            rest = name.removeprefix(f"{side}{number}.")
            return f"{_place(side, number, inner)}.{rest}"
    return name


def _place(side: str, number: int, inner: int) -> str:
    """Where diffusers keeps the block with this number; `inner` is the one between encoder and decoder."""
    if number == inner:
        return f"{side.partition('.')[0]}.mid_block"
    if side.startswith("encoder"):
        return f"{side}{number // 2}{'.downsamplers.0' if number % 2 else ''}"
    return f"{side}{(number - 1) // 2}{'.upsamplers.0' if number % 2 else ''}"


def _block(name: str, side: str) -> int | None:
    number = name.removeprefix(side).split(".")[0]
    return int(number) if name.startswith(side) and number.isdigit() else None
