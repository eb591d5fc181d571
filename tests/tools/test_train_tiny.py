"""The training package: layouts, the fast forward pass, and the file it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_upsampler, load_vae
from actors.models import TINY_CHECKPOINT
from tools.train_tiny import fast
from tools.train_tiny.bank import SLOTS, Bank
from tools.train_tiny.dit import DIETS, SIZES, Diet, predict
from tools.train_tiny.export import STATE_FILES, export, unpack
from tools.train_tiny.geometry import guide_coords, rope, slot_coords
from tools.train_tiny.layout import PLANS, Plan, draw_example
from tools.train_tiny.modules import new_text_encoder, new_transformer, new_upsampler, new_vae
from tools.train_tiny.optim import orthogonal
from tools.train_tiny.prompts import PromptPool
from tools.train_tiny.sampler import blend_onto, schedule
from tools.train_tiny.world import Frame


@pytest.fixture(scope="module")
def bank() -> Bank:
    torch.manual_seed(0)
    bank = Bank.empty(Frame(64, 96), 3, torch.device("cpu"))
    bank.latents.normal_()
    bank.stills.normal_()
    return bank


@pytest.fixture(scope="module")
def pool() -> PromptPool:
    return PromptPool(torch.device("cpu"), variants=1)


def test_overlap_guides_repeat_the_first_slots_at_position_0(bank: Bank, pool: PromptPool) -> None:
    example = draw_example(Plan(slots=6, overlap=3, stills=0, in_place=False), bank, 4, pool)
    assert (example.clean[:, :, 6:] == example.clean[:, :, :3]).all()
    assert (example.mask[:, :6] == 1).all() and (example.mask[:, 6:] < 1).all()
    per_slot = 2 * 3
    assert (example.coords[:, :, 6 * per_slot :] == example.coords[:, :, : 3 * per_slot]).all()


def test_stills_stand_at_the_frame_they_show(bank: Bank, pool: PromptPool) -> None:
    example = draw_example(Plan(slots=5, overlap=2, stills=1, in_place=False), bank, 8, pool)
    frames = (example.coords[:, 0, -1] * 25).round()
    assert ((frames % 8 == 0) & (frames >= 16) & (frames <= 32)).all()


def test_slots_known_in_place_add_no_tokens(bank: Bank, pool: PromptPool) -> None:
    example = draw_example(Plan(slots=5, overlap=2, stills=0, in_place=True), bank, 4, pool)
    assert example.clean.shape[2] == 5
    assert (example.mask[:, :2] < 1).all() and (example.mask[:, 2:] == 1).all()


def test_every_plan_fits_the_bank_and_the_shares_are_whole() -> None:
    assert all(plan.slots <= SLOTS for plan, _ in PLANS)
    assert sum(share for _, share in PLANS) == pytest.approx(1)


def test_orthogonal_updates_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 32, 200), (2, 200, 32)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.6 and values.max() < 1.3


def test_the_fast_pass_is_the_same_function() -> None:
    torch.manual_seed(0)
    model = new_transformer().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    x, sigma = torch.randn(2, 128, 4, 2, 3), torch.rand(2, 4)
    sigma[:, 3] = 0
    coords = rope(torch.cat([slot_coords(3, 2, 3), guide_coords([0], 2, 3)], 2)).expand(2, -1, -1)
    text = (torch.randn(2, 5, 128), torch.arange(5)[None] < torch.tensor([[2], [5]]))
    with torch.no_grad():
        expected, got = predict(model, text, x, sigma, coords), fast.velocity(model, text, x, sigma, coords)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_the_export_loads_as_it_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    modules = {
        "vae": new_vae(),
        "transformer": new_transformer(),
        "latent_upsampler": new_upsampler(),
        "text_encoder": new_text_encoder(),
    }
    path = tmp_path / "tiny.safetensors"
    export({name: module.state_dict() for name, module in modules.items()}, path)
    assert path.stat().st_size <= 40_000_000
    checkpoint = Checkpoint.open(path)
    loaded = {"vae": load_vae, "transformer": load_transformer, "latent_upsampler": load_upsampler}
    for name, load in loaded.items():
        state, stored = modules[name].state_dict(), load(checkpoint).state_dict()
        assert all(torch.equal(stored[key], tensor.half()) for key, tensor in state.items())


def test_the_schedule_starts_at_one_and_ends_at_the_terminal() -> None:
    sigmas = schedule(20, 208)
    assert sigmas[0] == 1 and sigmas[-1] == 0
    assert sigmas[-2] == pytest.approx(0.1, abs=1e-6)
    assert (schedule(10, 832, denoise=0.5) == schedule(20, 832)[-11:]).all()


def test_blending_drops_slot_0_and_grows_by_the_new_latents() -> None:
    chain, chunk = torch.zeros(1, 1, 5, 1, 1), torch.ones(1, 1, 6, 1, 1)
    assert blend_onto(chain, chunk, 2).flatten().tolist() == [0, 0, 0, 0, 0.5, 1, 1, 1, 1]
    assert blend_onto(chain, chunk, 1).flatten().tolist() == [0] * 5 + [1] * 5


def test_what_was_unpacked_exports_to_the_same_bytes(tmp_path: Path) -> None:
    unpack(TINY_CHECKPOINT, tmp_path)
    with pytest.raises(FileExistsError, match=r"dit\.pt"):
        unpack(TINY_CHECKPOINT, tmp_path)
    states = {name: state for file in STATE_FILES for name, state in torch.load(tmp_path / file).items()}
    export(states, tmp_path / "again.safetensors")
    ours, theirs = load_file(tmp_path / "again.safetensors"), load_file(TINY_CHECKPOINT)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("diet", DIETS.values())
def test_a_diet_shares_out_all_steps(diet: Diet) -> None:
    for progress in (0.0, 0.5, 1.0):
        assert sum(diet.shares(progress)) == pytest.approx(1.0) and min(diet.shares(progress)) > 0
    assert len(diet.capacities) == len(SIZES)
