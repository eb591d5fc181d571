"""One step of the transformers at real sizes: diffusers as it comes, its blocks compiled, the farm, and the
farm in fp8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.watch import Peak, seconds
from benchmarks.gpu.weights import PUBLISHED, configs_of

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.gpu.bench import Bench

WORDS, RATE = 256, 24.0
SOUND_WORDS = 1024
LTX2_LATENTS = 16
"""Of 121 frames."""


def item(size: str) -> Callable[[Bench], None]:
    """The item of a size: `13b` with guidance as a batch of two, LTX-2 one forward."""

    def run(bench: Bench) -> None:
        name = size if bench.real else ("ltx2-rehearsal" if size in PUBLISHED else "rehearsal")
        model = _model(bench, name)
        inputs = {what: _inputs(bench, name, model, scale) for what, scale in (("base", 1), ("2x", 2))}
        rows = list(_measured(bench, name, model, inputs))
        if bench.real:
            # Last, and on a model of its own: where torch.compile was, all else takes longer.
            rows += _compiled(bench, name, inputs, rows)
        bench.table(f"A step of the {size} transformer; error is relative L2 against diffusers", rows)

    return run


def _measured(
    bench: Bench, name: str, model: Any, inputs: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    wanted: dict[str, Any] = {}
    eager: dict[str, float] = {}
    for way, prepare in _ways(bench, name):
        with prepare(model):
            for what, given in inputs.items():
                run = _run(model, given)
                made = run()
                run()
                with Peak(bench.device) as peak:
                    taken = seconds(run, bench.device)
                eager.setdefault(what, taken)
                wanted.setdefault(what, made)
                yield {
                    "way": way,
                    "clip": what,
                    "tokens": given["hidden_states"].shape[1],
                    "step s": taken,
                    "against diffusers": eager[what] / taken,
                    "peak GiB": peak.gib,
                    "error": _error(made, wanted[what]),
                    "repeats equal": _equal(run(), made),
                }
                if way.startswith("farm"):
                    each = _run(model, _by_token(given))
                    each()
                    yield {
                        "way": f"{way}, a timestep for each token",
                        "clip": what,
                        "tokens": given["hidden_states"].shape[1],
                        "step s": seconds(each, bench.device),
                    }


def _ways(bench: Bench, name: str) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """What the farm changes stays: its ways come last."""
    yield "diffusers", _as_it_is
    yield "farm", _farm(name)
    yield "farm, fp8", _fp8(bench)


@contextmanager
def _as_it_is(_model: Any) -> Iterator[None]:
    yield


def _compiled(
    bench: Bench, name: str, inputs: dict[str, dict[str, Any]], rows: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """diffusers' blocks, compiled as its documentation has it."""
    eager = {row["clip"]: row["step s"] for row in rows if row["way"] == "diffusers"}
    model = _model(bench, name)
    model.compile_repeated_blocks(fullgraph=True)
    for what, given in inputs.items():
        run = _run(model, given)
        run()
        run()
        taken = seconds(run, bench.device)
        row: dict[str, Any] = {"way": "diffusers, blocks compiled", "clip": what}
        row |= {"tokens": given["hidden_states"].shape[1], "step s": taken}
        yield row | {"against diffusers": eager[what] / taken}


def _farm(name: str) -> Callable[[Any], Any]:
    @contextmanager
    def prepare(model: Any) -> Iterator[None]:
        if name in PUBLISHED:
            from actors.engines.diffusers.ltx2 import block

            block.install(model)
        else:
            from actors.engines.diffusers.ltx_video import attention

            attention.install(model)
        yield

    return prepare


def _fp8(bench: Bench) -> Callable[[Any], Any]:
    @contextmanager
    def prepare(model: Any) -> Iterator[None]:
        import torch

        from actors.engines.diffusers.fused import fp8

        fp8.pack(model, torch.device(bench.device), {})
        yield

    return prepare


def _run(model: Any, given: dict[str, Any]) -> Callable[[], Any]:
    import torch

    def run() -> Any:
        with torch.inference_mode():
            return model(**given)

    return run


def _model(bench: Bench, name: str) -> Any:
    """With random weights of about unit gain."""
    import torch

    dtype = torch.bfloat16 if bench.real else torch.float32
    model = _empty(bench, name).to(dtype).to_empty(device=bench.device).eval().requires_grad_(False)
    generator = torch.Generator(bench.device).manual_seed(0)
    for key, weight in model.named_parameters():
        if weight.ndim > 1:
            gain = weight.shape[-1] ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=generator, device=bench.device).mul_(gain))
        else:
            weight.fill_(1.0 if "norm" in key else 0.0)
    return model


def _empty(bench: Bench, name: str) -> Any:
    import torch

    if name not in PUBLISHED:
        from actors.engines.diffusers.ltx_video import architecture

        with torch.device("meta"):
            return architecture.build_transformer(configs_of(name)["transformer"])
    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2 import components
    from tests.official import ltx2_files

    version, width = PUBLISHED[name]
    path = bench.folder("layout") / "layout.safetensors"
    if width == "full":
        ltx2_files.write_single_file(path, version)
    else:
        ltx2_files.write_narrow(path, version)
    return components.transformer_component(Checkpoint.open(path)).empty()


def _inputs(bench: Bench, name: str, model: Any, scale: int) -> dict[str, Any]:
    import torch

    dtype, device = model.dtype, bench.device
    generator = torch.Generator(device).manual_seed(scale)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    if name in PUBLISHED:
        return _ltx2_inputs(bench, model, scale, drawn)
    tokens = bench.clip.tokens(scale)
    grid = torch.arange(tokens, device=device, dtype=torch.float32)
    return {
        "hidden_states": drawn(2, tokens, 128),
        "encoder_hidden_states": drawn(2, WORDS, model.config.caption_channels),
        "timestep": torch.full((2,), 500.0, device=device),
        "encoder_attention_mask": torch.ones(2, WORDS, dtype=torch.bool, device=device),
        "video_coords": torch.stack([grid / 100, grid % 48, grid % 32])[None].expand(2, -1, -1),
        "return_dict": False,
    }


def _ltx2_inputs(bench: Bench, model: Any, scale: int, drawn: Callable[..., Tensor]) -> dict[str, Any]:
    """121 frames with their sound, one forward."""
    import torch

    config, device = model.config, bench.device
    rows, columns = (side * scale for side in ((16, 24) if bench.real else (2, 2)))
    latents, heard = (LTX2_LATENTS, 126) if bench.real else (2, 9)
    grid = torch.meshgrid(*(torch.arange(n, device=device) for n in (latents, rows, columns)), indexing="ij")
    starts = torch.stack([part.flatten().float() for part in grid])
    step = torch.tensor([8 / RATE, 32.0, 32.0], device=device)[:, None]
    places = torch.stack([starts * step, (starts + 1) * step], dim=-1)[None]
    sound = torch.arange(heard, device=device, dtype=torch.float32)[None, None] / 25
    told = config.use_prompt_embeddings
    widths = (config.cross_attention_dim, config.audio_cross_attention_dim)
    widths = (config.caption_channels,) * 2 if told else widths
    level = torch.full((1,), 700.0, device=device)
    return {
        "hidden_states": drawn(1, starts.shape[1], config.in_channels),
        "audio_hidden_states": drawn(1, heard, config.audio_in_channels),
        "encoder_hidden_states": drawn(1, SOUND_WORDS, widths[0]),
        "audio_encoder_hidden_states": drawn(1, SOUND_WORDS, widths[1]),
        "timestep": level[None],
        "audio_timestep": level[None],
        "sigma": level,
        "audio_sigma": level,
        "video_coords": places,
        "audio_coords": torch.stack([sound, sound + 0.04], dim=-1),
        "use_cross_timestep": True,
        "return_dict": False,
    }


def _by_token(given: dict[str, Any]) -> dict[str, Any]:
    tokens = given["hidden_states"]
    level = given["timestep"].reshape(len(tokens), 1)
    return given | {"timestep": level.expand(-1, tokens.shape[1]).contiguous()}


def _error(made: Any, wanted: Any) -> float:
    """Of the picture."""
    difference = made[0].float() - wanted[0].float()
    return float(difference.norm() / wanted[0].float().norm())


def _equal(one: Any, other: Any) -> bool:
    import torch

    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
