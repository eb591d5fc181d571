"""The training package: layouts, the fast forward pass, and the file it writes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tools.train_tiny.export import PARTS, export, unpack
from tools.train_tiny.modules import (
    AUDIO_WIDTH,
    SOUND,
    WIDTH,
    new_audio_vae,
    new_connectors,
    new_temporal_upsampler,
    new_text_encoder,
    new_transformer,
    new_upsampler,
    new_vae,
    new_vocoder,
)
from tools.train_tiny.optim import Optimiser, orthogonal
from tools.train_tiny.procedural.prompts import PromptPool
from tools.train_tiny.procedural.world import Frame
from tools.train_tiny.sampler import Pass, extend_pass, schedule
from tools.train_tiny.training import Run, save, stored
from tools.train_tiny.transformer import dit, fast
from tools.train_tiny.transformer.bank import FRAMES, SLOTS, Bank, Format
from tools.train_tiny.transformer.dit import DIETS, FORMATS, Diet
from tools.train_tiny.transformer.flow import Both, Words
from tools.train_tiny.transformer.geometry import grid, slot_middle, sound_middle, still_middle, to_tokens
from tools.train_tiny.transformer.layout import PLANS, Head, Plan, draw_example

PER_SLOT = 2 * 3


@pytest.fixture(scope="module")
def bank() -> Bank:
    torch.manual_seed(0)
    bank = Bank.empty(Format(Frame(64, 96)), 8, torch.device("cpu"))
    bank.latents.normal_()
    bank.stills.normal_()
    bank.sounds[:, :, :SOUND].normal_()
    return bank


@pytest.fixture(scope="module")
def pool() -> PromptPool:
    return PromptPool(torch.device("cpu"), variants=1)


def test_an_extend_holds_latents_and_sound_where_they_stood(bank: Bank, pool: PromptPool) -> None:
    example = draw_example(Plan(slots=6, overlap=3, head=Head.NONE), bank, 4, pool)
    assert example.clean.shape[2] == 5
    assert (example.mask[:, :2] < 1).all()
    assert (example.mask[:, 2:] == 1).all()
    assert example.coords[:, 0, 0] * 25 == pytest.approx([5.0] * 4)
    assert (example.sound_mask[:, :17] < 1).all()
    assert (example.sound_mask[:, 17:] == 1).all()
    assert example.sound.shape[1] == 8 * 6 - 7


def test_sound_and_picture_of_an_example_are_of_one_moment(pool: PromptPool) -> None:
    for rate in (25.0, 24.0, 50.0):
        bank = Bank.empty(Format(Frame(32, 32), rate), 4, torch.device("cpu"))
        bank.latents[:] = torch.arange(SLOTS).view(1, 1, SLOTS, 1, 1)
        bank.sounds[:] = torch.arange(bank.format.audio).view(1, -1, 1)
        example = draw_example(Plan(slots=7, overlap=3, head=Head.NONE), bank, 16, pool)
        begin_s = 8 * (example.clean[:, 0, 0, 0, 0] - 1) / rate
        seen_s = begin_s + example.coords[:, 0, 0]
        heard_s = begin_s + example.sound_coords[:, 9]
        assert seen_s == pytest.approx(((8 * example.clean[:, 0, 0, 0, 0] - 3) / rate).tolist(), abs=1e-4)
        # Latents above 256 are rounded in the bank's half precision.
        assert heard_s == pytest.approx((0.04 * example.sound[:, 9, 0] - 0.01).tolist(), abs=0.05)


def test_a_still_in_slot_0_is_the_frame_that_the_chunk_begins_with(bank: Bank, pool: PromptPool) -> None:
    example = draw_example(Plan(slots=5, overlap=3, head=Head.STILL), bank, 4, pool)
    flat = bank.stills.float().transpose(1, 2).flatten(0, 1)
    for still in example.clean[:, :, 0]:
        assert (flat == still).flatten(1).all(1).any()


def test_stills_stand_at_the_frame_they_show(bank: Bank, pool: PromptPool) -> None:
    example = draw_example(Plan(slots=5, overlap=2, stills=1), bank, 8, pool)
    frames = example.coords[:, 0, -1] * 25 - 0.5
    assert (frames.round() == frames).all() or (frames - frames.round()).abs().max() < 1e-4
    assert ((frames.round() % 8 == 0) & (frames >= 15) & (frames <= 33)).all()


def test_keyframes_are_made_and_marked(bank: Bank, pool: PromptPool) -> None:
    example = draw_example(Plan(slots=5, keyframes=1), bank, 4, pool)
    assert (example.mask[:, -1] == 1).all()
    assert (example.marks[:, -1] == 1).all()


def test_what_is_given_has_no_noise_and_no_loss(bank: Bank, pool: PromptPool) -> None:
    assert (draw_example(Plan(5, heard=True), bank, 2, pool).sound_mask == 0).all()
    assert (draw_example(Plan(5, seen=True), bank, 2, pool).mask == 0).all()


def test_every_plan_fits_the_bank_and_the_shares_are_whole() -> None:
    assert all(plan.slots <= SLOTS for plan, _ in PLANS)
    assert sum(share for _, share in PLANS) == pytest.approx(1)
    assert FRAMES == 193


def test_orthogonal_updates_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 32, 200), (2, 200, 32)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_one_buffer_holds_every_gradient() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(20, 24), torch.nn.Linear(24, 3))
    optimiser = Optimiser([model], 1e-2, together=True)
    model(torch.randn(4, 20)).sum().backward()
    assert optimiser.gradient is not None
    assert optimiser.gradient.norm() == pytest.approx(
        float(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm())
    )
    optimiser.zero_grad()
    assert all((p.grad == 0).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("isolated", [False, True])
def test_the_fast_pass_is_the_same_function(isolated: bool) -> None:
    torch.manual_seed(0)
    model = new_transformer().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    x, sound = torch.randn(2, 128, 4, 2, 3), torch.randn(2, 9, 128)
    sigma, loud, level, quiet = torch.rand(2, 4), torch.rand(2, 9), torch.rand(2), torch.rand(2)
    middle = torch.cat([slot_middle(torch.arange(3)), still_middle(torch.tensor([16.0]))])[None] / 25
    coords, heard = grid(middle.expand(2, -1), 2, 3), sound_middle(9, torch.tensor([0.0, 0.01]))
    marks = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 1]])
    mask = torch.arange(5)[None] < torch.tensor([[2], [5]])
    words = fast.Context(torch.randn(2, 5, WIDTH), torch.randn(2, 5, AUDIO_WIDTH), mask)
    with torch.no_grad():
        expected = model(
            hidden_states=to_tokens(x),
            audio_hidden_states=sound,
            encoder_hidden_states=words.picture,
            audio_encoder_hidden_states=words.sound,
            encoder_attention_mask=mask.float(),
            audio_encoder_attention_mask=mask.float(),
            timestep=1000 * sigma.repeat_interleave(PER_SLOT, 1),
            audio_timestep=1000 * loud,
            sigma=1000 * level,
            audio_sigma=1000 * quiet,
            video_coords=coords,
            audio_coords=heard[:, None],
            video_keyframes_mask=marks.repeat_interleave(PER_SLOT, 1)[..., None],
            use_cross_timestep=True,
            isolate_modalities=isolated,
            return_dict=False,
        )
        seen = fast.Picture(x, sigma, level, coords, marks)
        got = fast.velocity(model, words, seen, fast.Sound(sound, loud, quiet, heard), isolated)
    torch.testing.assert_close(to_tokens(got[0]), expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got[1], expected[1], atol=1e-4, rtol=1e-4)


def test_places_are_those_of_the_reference() -> None:
    model = new_transformer()
    reference = model.rope.prepare_video_coords(1, 3, 2, 3, torch.device("cpu"), fps=25.0).mean(-1)
    ours = grid(slot_middle(torch.arange(3))[None] / 25, 2, 3)
    torch.testing.assert_close(ours, reference)
    heard = model.audio_rope.prepare_audio_coords(1, 9, torch.device("cpu")).mean(-1)[:, 0]
    torch.testing.assert_close(sound_middle(9, torch.zeros(1)), heard)


def test_a_batch_teaches_both_streams_and_the_words(
    bank: Bank, pool: PromptPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dit, "PromptPool", lambda _: pool)
    monkeypatch.setattr(dit, "TOKENS_PER_BATCH", 1)
    torch.manual_seed(0)
    both = Both(new_transformer(), Words())
    for parameter in both.transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    training = dit._Training(Run(torch.device("cpu"), tmp_path, 1, batch_scale=0.25), both, [bank])
    training.differentiate(dit._Layout(0, Plan(4, 3, Head.STILL, keyframes=1), imitate=True))
    assert training.losses.isfinite().all()
    untaught = [name for name, p in both.named_parameters() if p.grad is None or not p.grad.any()]
    assert untaught == []


def test_what_carries_no_sound_is_neither_read_nor_written(
    bank: Bank, pool: PromptPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dit, "PromptPool", lambda _: pool)
    monkeypatch.setattr(dit, "TOKENS_PER_BATCH", 1)
    torch.manual_seed(0)
    both = Both(new_transformer(), Words())
    training = dit._Training(Run(torch.device("cpu"), tmp_path, 1, batch_scale=0.25), both, [bank])
    for _ in range(2):
        training.differentiate(dit._Layout(0, Plan(4, 3, Head.NONE), imitate=False))
        training.update()
    model = both.transformer
    assert model.audio_proj_out.weight[:SOUND].any()
    for silent in (
        model.audio_proj_in.weight[:, SOUND:],
        model.audio_proj_out.weight[SOUND:],
        model.audio_proj_out.bias[SOUND:],
    ):
        assert not silent.any()


def test_the_export_loads_as_it_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    modules = {
        "vae": new_vae(),
        "audio_vae": new_audio_vae(),
        "vocoder": new_vocoder(),
        "transformer": new_transformer(),
        "latent_upsampler": new_upsampler(),
        "temporal_upsampler": new_temporal_upsampler(),
        "text_encoder": new_text_encoder(),
        "connectors": new_connectors(),
    }
    assert modules.keys() == PARTS.keys()
    save(tmp_path, {name: module.state_dict() for name, module in modules.items()})
    path = tmp_path / "tiny.safetensors"
    export(tmp_path, path)
    assert path.stat().st_size <= 45_000_000
    unpack(path, tmp_path / "again")
    for name, module in modules.items():
        again = stored(tmp_path / "again", name)
        assert all(
            torch.equal(again[key], tensor.half().float()) for key, tensor in module.state_dict().items()
        )
    with pytest.raises(FileExistsError, match="audio_vae"):
        unpack(path, tmp_path / "again")


def test_the_export_has_the_names_of_published_files() -> None:
    modules = {"transformer": new_transformer(), "audio_vae": new_audio_vae(), "vocoder": new_vocoder()}
    names = {part: set(PARTS[part].to_file(module.state_dict())) for part, module in modules.items()}
    assert {
        "patchify_proj.weight",
        "audio_adaln_single.linear.weight",
        "av_ca_a2v_gate_adaln_single.linear.bias",
    } <= (names["transformer"])
    assert "transformer_blocks.0.scale_shift_table_a2v_ca_video" in names["transformer"]
    assert "transformer_blocks.4.video_to_audio_attn.q_norm.weight" in names["transformer"]
    assert "per_channel_statistics.mean-of-means" in names["audio_vae"]
    assert {"conv_pre.weight", "ups.0.weight", "resblocks.0.convs1.0.weight"} <= names["vocoder"]


def test_the_schedule_starts_at_one_and_ends_at_the_terminal() -> None:
    sigmas = schedule(20, 208)
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert sigmas[-2] == pytest.approx(0.1, abs=1e-6)
    assert (schedule(10, 832, denoise=0.5) == schedule(20, 832)[-11:]).all()


def test_an_extend_goes_on_where_picture_and_sound_are() -> None:
    chain, sound = torch.zeros(1, 128, 13, 1, 1), torch.arange(97.0).view(1, 97, 1)
    work = extend_pass(Pass(13, 1, 1), chain, sound, overlap=2, new=10)
    assert work.slots == 13
    assert work.shown == 12
    assert work.sounds == 97
    assert work.heard is not None
    assert work.heard.flatten().tolist() == list(range(80, 97))
    assert replace(work, rate=50.0).sounds == math.floor(97 / 2)


@pytest.mark.parametrize("diet", DIETS.values())
def test_a_diet_shares_out_all_steps(diet: Diet) -> None:
    for progress in (0.0, 0.5, 1.0):
        assert sum(diet.shares(progress)) == pytest.approx(1.0)
        assert min(diet.shares(progress)) > 0
    assert len(diet.capacities) == len(FORMATS)
