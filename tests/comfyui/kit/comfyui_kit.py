"""What the tests of one ComfyUI share: a small clip, and the models and prompt it is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

WIDTH, HEIGHT, FRAMES = 128, 96, 17
PROMPT_TOKENS = 8

GENERATE = {
    "width": WIDTH,
    "height": HEIGHT,
    "num_frames": FRAMES,
    "steps": 3,
    "cfg": 3.0,
    "seed": 11,
    "frame_rate": 25.0,
}
EXTEND = {
    "num_new_frames": 16,
    "overlap_frames": 16,
    "overlap_strength": 1.0,
    "steps": 3,
    "cfg": 3.0,
    "seed": 12,
    "frame_rate": 25.0,
}


@dataclass(frozen=True)
class Kit:
    """A model, its VAE and a prompt: what every node call starts from."""

    model: Any
    vae: Any
    positive: Any
    negative: Any

    @property
    def inputs(self) -> dict[str, Any]:
        return {"model": self.model, "vae": self.vae, "positive": self.positive, "negative": self.negative}


def prompt(seed: int, text_dim: int) -> Any:
    """CONDITIONING of random words."""
    import torch

    words = torch.randn(1, PROMPT_TOKENS, text_dim, generator=torch.Generator().manual_seed(seed))
    return [[words, {"attention_mask": torch.ones(1, PROMPT_TOKENS, dtype=torch.long)}]]


def sampling(**changes: Any) -> Any:
    """Three steps of the default sampler."""
    from jobs.planning.sampling import PlannedGuider, Sampling

    return replace(Sampling(3, 3.0, "euler", None, PlannedGuider(), 2.05, 0.95), **changes)


def pass_params(**changes: Any) -> Any:
    """The engine's task for what `GENERATE` says."""
    from jobs.frames import ChunkSpan
    from jobs.planning.params import PassParams

    params = PassParams(
        width=WIDTH,
        height=HEIGHT,
        span=ChunkSpan(0, 3, 3),
        frame_rate=25.0,
        seed=int(GENERATE["seed"]),
        sampling=sampling(),
        guides=(),
        overlap_strength=1.0,
        attention_mode="auto",
        ffn_chunks=0,
    )
    return replace(params, **changes)


def sampled(engine: Any, words: Any, **changes: Any) -> Any:
    """The clip of `pass_params`."""
    from actors.engines.pieces import PassSound, Piece

    return engine.denoise(pass_params(**changes), [Piece(None)], PassSound(), words)["latents"]


def stg_guider(model: Any, positive: Any, negative: Any) -> Any:
    """A guider with a third pass whose middle block is skipped."""
    import comfy.model_patcher
    import comfy.samplers

    class Guider(comfy.samplers.CFGGuider):
        def predict_noise(self, x: Any, timestep: Any, model_options: Any = {}, seed: Any = None) -> Any:  # noqa: B006
            guided = super().predict_noise(x, timestep, model_options=model_options, seed=seed)
            skipping = comfy.model_patcher.set_model_options_patch_replace(
                comfy.model_patcher.create_model_options_clone(model_options),
                lambda args, _: args,
                "dit",
                "double_block",
                1,
            )
            conds = [self.conds["positive"]]
            (weak,) = comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, skipping)
            return guided + 0.5 * (guided - weak)

    guider = Guider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(3.0)
    return guider
