"""LTX-2, 2.3 and 2.5 by their files, beside a workflow of core's own nodes: the same latents, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_farm import artifacts, render_here
from comfyui_graph import Graph, Made, Take, know_folder
from comfyui_releases import FORMS, VERSIONS, shrink, write_release

pytestmark = pytest.mark.comfyui

TAKE = Take()
NEW, OVERLAP = 16, 16
SEEDS = (5, 6)
STEPS, DENOISE = 1, 0.5


@pytest.fixture(
    scope="module", params=[(version, form) for version in VERSIONS for form in FORMS], ids="-".join
)
def release(request: pytest.FixtureRequest, core: Any, tmp_path_factory: Any) -> Any:
    """The `engine` section of a release's files, and core's own nodes on them."""
    if core.lacks("ltx-2.5"):
        pytest.skip(
            "cores before 0.32 build the projection for the full width of Gemma, whatever the file has"
        )
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        # Core takes both sides of CFG at once where enough memory is free; here each has its own pass, as in
        # the nodes.
        patch.setattr("comfy.model_base.BaseModel.memory_required", lambda *_, **__: float(1 << 60))
        engine = write_release(tmp_path_factory.mktemp("release"), *request.param)
        know_folder(Path(engine["upscale_model"]).parent)
        with torch.inference_mode():
            yield engine, Graph(core, engine, TAKE)


@pytest.fixture(scope="module")
def first(release: Any) -> Made:
    with torch.inference_mode():
        return release[1].generate(SEEDS[0])


@pytest.fixture(scope="module")
def second(release: Any, first: Made) -> Made:
    """The raw clip of the Extend."""
    with torch.inference_mode():
        return release[1].extend(first, NEW, OVERLAP, SEEDS[1])


def test_words_are_heard(release: Any) -> None:
    with torch.inference_mode():
        positive, negative = (side[0][0] for side in release[1].conditioning())
    assert positive.std() > 0.1
    assert negative.std() > 0.1
    assert not torch.equal(positive[:, -4:], negative[:, -4:])


def node_inputs(graph: Graph) -> dict[str, Any]:
    positive, negative = graph.conditioning()
    return {
        "model": graph.model, "vae": graph.vae, "audio_vae": graph.audio_vae, "positive": positive,
        "negative": negative, "sigmas": torch.tensor(TAKE.sigmas), "steps": 2, "cfg": TAKE.cfg,
        "frame_rate": TAKE.rate,
    }  # fmt: skip


def test_the_nodes_make_it(core: Any, release: Any, first: Made, second: Made) -> None:
    from farm.nodes import NODE_CLASS_MAPPINGS
    from farm.nodes.flow import join

    begins: Any = NODE_CLASS_MAPPINGS["RSLTXVGenerate"]()
    goes_on: Any = NODE_CLASS_MAPPINGS["RSLTXVExtend"]()
    graph = release[1]
    with torch.inference_mode():
        inputs = node_inputs(graph)
    size = {"width": TAKE.side, "height": TAKE.side, "num_frames": TAKE.frames}
    latent, _, sound = begins.generate(**inputs, **size, seed=SEEDS[0])
    assert torch.isfinite(first.video).all()
    assert first.audio.std() > 0.1
    assert torch.equal(latent["samples"], first.video)
    assert torch.equal(sound["samples"], first.audio)
    both = core.call("LTXVConcatAVLatent", video_latent=latent, audio_latent=sound)[0]
    more = {"num_new_frames": NEW, "overlap_frames": OVERLAP, "overlap_strength": 1.0}
    longer, _, whole = goes_on.extend(**inputs, **more, latent=both, seed=SEEDS[1])
    assert torch.equal(longer["samples"].unbind()[0], join(first.video, second.video, OVERLAP // 8))
    assert torch.equal(whole["samples"][:, :, -second.audio.shape[2] :], second.audio)


def test_the_nodes_make_its_second_pass(release: Any, first: Made) -> None:
    from farm.nodes import NODE_CLASS_MAPPINGS

    begins: Any = NODE_CLASS_MAPPINGS["RSLTXVGenerate"]()
    graph = release[1]
    with torch.inference_mode():
        inputs = node_inputs(graph)
        wanted = graph.second_pass(first, levels(), SEEDS[0])
    size = {"width": TAKE.side, "height": TAKE.side, "num_frames": TAKE.frames}
    upscale = {"upscale": True, "upscale_model": graph.upscaler, "upscale_cfg": TAKE.cfg}
    upscale |= {"upscale_steps": STEPS, "upscale_denoise": DENOISE}
    latent, _, sound = begins.generate(**inputs, **size, **upscale, seed=SEEDS[0])
    assert latent["samples"].shape[3:] == (TAKE.side // 16, TAKE.side // 16)
    assert torch.equal(latent["samples"], wanted.video)
    assert torch.equal(sound["samples"], wanted.audio)


def test_the_farm_renders_it(release: Any, first: Made, second: Made, tmp_path: Path) -> None:
    """A film with the sound that the model makes, refined at twice the size."""
    engine, graph = release
    words = {"prompt": TAKE.prompt, "negative": TAKE.negative}
    generate = {**words, "num_frames": TAKE.frames, "seed": SEEDS[0]}
    extend = {**words, "num_new_frames": NEW, "overlap_frames": OVERLAP, "seed": SEEDS[1]}
    numbers = {"width": TAKE.side, "height": TAKE.side, "sigmas": list(TAKE.sigmas), "cfg": TAKE.cfg}
    spec = {
        "version": 1,
        "name": "film",
        "engine": engine,
        "defaults": {**numbers, "frame_rate": TAKE.rate},
        "upscale": {"steps": STEPS, "denoise": DENOISE, "cfg": TAKE.cfg, "joint": "overlap"},
        "videos": [
            {
                "name": "take",
                "chunks": [{"generate": generate}, {"extend": extend}],
                "sound": [{"generate": True}],
            }
        ],
        "output": {"dir": str(tmp_path / "out")},
        "run": {"threads": 1},
    }
    runs = render_here(spec, tmp_path)
    one, two = artifacts(runs, "film", "sample", "take")
    assert (one["latents"] == first.video.numpy()).all()
    assert (one["audio_latents"] == first.audio.numpy()).all()
    assert (two["audio_latents"] == second.audio.numpy()).all()
    assert (two["latents"][:, :, -NEW // 8 :] == second.video.numpy()[:, :, -NEW // 8 :]).all()
    refined = artifacts(runs, "film", "upscale", "take")[0]
    with torch.inference_mode():
        wanted = graph.second_pass(first, levels(), upscale_seed(spec))
    assert (refined["latents"] == wanted.video.numpy()).all()
    assert (refined["audio_latents"] == wanted.audio.numpy()).all()
    assert any((tmp_path / "out").iterdir())


def levels() -> torch.Tensor:
    """Those of the second pass; `test_the_schedule_is_that_of_the_core` holds them against core's."""
    from actors.engines.schedule import LTX2_TOKENS, truncated

    return truncated(STEPS, DENOISE, LTX2_TOKENS, (2.05, 0.95))


def upscale_seed(spec: dict[str, Any]) -> int:
    """What the plan gives the second pass of the first chunk."""
    from jobs.planning.plan import make_plan
    from jobs.spec.job import JobSpec

    return make_plan(JobSpec.model_validate(spec)).videos[0].chunks[0].upscale_seed
