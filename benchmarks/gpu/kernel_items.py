"""Chunked feed-forward, and what determinism costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.watch import Peak, seconds
from benchmarks.gpu.weights import REAL_VAE, configs_of

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

FFN_CHUNKS = (0, 2, 4, 8, 16)
FEW_LAYERS = 4
"""Peak memory of activations does not depend on how many layers there are."""


def feed_forward(bench: Bench) -> None:
    """`ffn_chunks` against activation memory and time, one pass of a transformer of real width."""
    from actors.engines.diffusers import feedforward

    rows = []
    for size in _sizes(bench):
        for what, tokens in _lengths(bench).items():
            model, run = _transformer(bench, size, tokens)
            for chunks in FFN_CHUNKS:
                feedforward.set_chunks(model, chunks)
                run()
                with Peak(bench.device) as peak:
                    run()
                taken = seconds(run, bench.device) / FEW_LAYERS * 1e3
                row = {
                    "model": size,
                    "clip": what,
                    "ffn_chunks": chunks,
                    "peak GiB": peak.gib,
                    "ms per layer": taken,
                }
                rows.append(row)
            del model, run
            _empty(bench)
        bench.table("`ffn_chunks`: activation peak of one pass and time per layer", rows)


def determinism_cost(bench: Bench) -> None:
    """The switches that the engine sets on a GPU, on and off: seconds of a model pass and of a decode."""
    import torch

    model, step = _transformer(bench, _sizes(bench)[0], _lengths(bench)["2x"])
    vae, decode = _decoder(bench)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    rows = []
    settings = (("on (the engine's)", True, False), ("off", False, False), ("off", False, True))
    for name, on, tuned in settings:
        torch.backends.cudnn.deterministic = on
        torch.backends.cudnn.benchmark = tuned
        torch.use_deterministic_algorithms(on, warn_only=True)
        step_s, decode_s = seconds(step, bench.device), seconds(decode, bench.device)
        row = {"deterministic": name, "cuDNN benchmark": tuned, f"{FEW_LAYERS} layers s": step_s}
        rows.append({**row, "decode s": decode_s, "decode repeats equal": _repeats(decode)})
    bench.table("Determinism: what the engine's switches cost (2B, clip at 2x)", rows)
    del model, vae


def _repeats(run: Callable[[], Any]) -> bool:
    """Whether two runs give the same bits."""
    return bool((run() == run()).all())


def _sizes(bench: Bench) -> tuple[str, ...]:
    return ("2b", "13b") if bench.real else ("rehearsal",)


def _lengths(bench: Bench) -> dict[str, int]:
    """Tokens of a clip at base size and at 2x."""
    return {"base": bench.clip.tokens(1), "2x": bench.clip.tokens(2)}


def _transformer(bench: Bench, size: str, tokens: int) -> tuple[Any, Callable[[], Any]]:
    """A transformer of a few layers of that size, and one pass over `tokens` tokens."""
    import torch

    from actors.engines.diffusers.ltx_video import architecture, attention

    config = {**configs_of(size)["transformer"], "num_layers": FEW_LAYERS}
    dtype = torch.bfloat16 if bench.real else torch.float32
    with torch.device(bench.device):
        model = torch.nn.Module.to(architecture.build_transformer(config), dtype)
    model.eval().requires_grad_(False)
    attention.install(model)
    grid = torch.arange(tokens, device=bench.device, dtype=torch.float32)
    inputs = {
        "hidden_states": torch.randn(1, tokens, 128, device=bench.device, dtype=dtype),
        "encoder_hidden_states": torch.randn(
            1, 256, config["caption_channels"], device=bench.device, dtype=dtype
        ),
        "timestep": torch.full((1,), 500.0, device=bench.device),
        "encoder_attention_mask": torch.ones(1, 256, dtype=torch.bool, device=bench.device),
        "video_coords": torch.stack([grid / 100, grid % 48, grid % 32])[None],
        "return_dict": False,
    }

    def run() -> Any:
        with torch.inference_mode():
            return model(**inputs)[0]

    return model, run


def _decoder(bench: Bench) -> tuple[Any, Callable[[], Any]]:
    """A VAE of real width, and one decode of a clip at 2x to uint8 on the device."""
    import torch

    from actors.engines.diffusers.codec import VideoCodec
    from actors.engines.diffusers.ltx_video import architecture

    config = configs_of("rehearsal")["vae"] | (REAL_VAE if bench.real else {})
    dtype = torch.bfloat16 if bench.real else torch.float32
    with torch.device(bench.device):
        vae = torch.nn.Module.to(architecture.build_vae(config), dtype)
    vae.eval().requires_grad_(False)
    codec, clip = VideoCodec(vae), bench.clip
    shape = (1, 128, clip.latents, clip.height * 2 // 32, clip.width * 2 // 32)
    latents = torch.randn(shape, device=bench.device)

    def run() -> Any:
        with torch.inference_mode():
            torch.manual_seed(0)
            return codec.decoded(codec.prepare(latents)).contiguous()

    return vae, run


def _empty(bench: Bench) -> None:
    if bench.device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
