"""LoRA files of every kind change the weights by the published formulas, or are refused as a whole."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from actors.engines.diffusers.ltx_video import lora
from actors.engines.diffusers.ltx_video.architecture import build_transformer
from actors.engines.diffusers.ltx_video.names import original_transformer_state
from jobs.errors import SpecError
from jobs.spec.engine import PassStrengths
from jobs.weights.header import Tensor as Entry
from tests.official.loras import ADAPTER, ALPHA, KINDS, RANK, layers_of, write_lora

WIDTH, CAPTION = 24, 16
CONFIG = {
    "in_channels": 128,
    "caption_channels": CAPTION,
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "cross_attention_dim": WIDTH,
}
LAYERS = layers_of(WIDTH, WIDTH, CAPTION)
LAYER = "transformer_blocks.0.attn2.to_k"
KEY = f"diffusion_model.{LAYER}"


def changes(path: Path, *strengths: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A transformer's weights by their original names, before and after merging the file."""
    torch.manual_seed(0)
    transformer = build_transformer(CONFIG)
    before = {name: tensor.clone() for name, tensor in transformer.state_dict().items()}
    shapes = {name: Entry("F32", tuple(tensor.shape)) for name, tensor in before.items()}
    loras = [(path, PassStrengths(sample=strength, upscale=strength)) for strength in strengths]
    opened = partial(lora.open_lora, model=shapes)
    lora.MergedLoras(transformer, loras, opened, lambda _: iter(())).use("sample")
    after = {name: tensor.clone() for name, tensor in transformer.state_dict().items()}
    return original_transformer_state(before), original_transformer_state(after)


TAKEN = [name for name, kind in KINDS.items() if kind.diffusers]
REFUSED = [name for name, kind in KINDS.items() if not kind.diffusers]


@pytest.mark.parametrize("name", TAKEN)
def test_every_layer_of_a_file_is_changed(name: str, tmp_path: Path) -> None:
    before, after = changes(write_lora(tmp_path / "style.safetensors", name, LAYERS), 0.8)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    wanted = {f"{layer}.weight" for layer in LAYERS} if name != "diff of a table" else {"scale_shift_table"}
    if "diff_b" in name:
        wanted |= {f"{layer}.bias" for layer in LAYERS}
    assert changed == wanted


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_count_whole_counts_not_at_all(name: str, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "style.safetensors", name, LAYERS)
    with pytest.raises(SpecError, match=r"style.safetensors[\s\S]*(of its \d+ keys|is for a weight of)"):
        changes(path, 1.0)


def test_the_refusal_counts_and_gives_an_example(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "style.safetensors", "one layer too many", LAYERS)
    with pytest.raises(SpecError, match=r"2 of its 22 keys .*audio_attn.to_q.lora_A.weight"):
        changes(path, 1.0)


def test_formulas(tmp_path: Path) -> None:
    """Each kind's change of one layer, written out."""
    strength = 0.5

    def of(name: str) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        path = write_lora(tmp_path / "style.safetensors", name, LAYERS)
        before, after = changes(path, strength)
        parts = {key[len(KEY) + 1 :]: t for key, t in load_file(path).items() if key.startswith(KEY)}
        return before[f"{LAYER}.weight"], after[f"{LAYER}.weight"], parts

    before, after, p = of("down and up with alpha")
    product = p["lora_up.weight"] @ p["lora_down.weight"]
    torch.testing.assert_close(after, before + strength * ALPHA / RANK * product)
    before, after, p = of("LoKr in factors")
    product = torch.kron(p["lokr_w1"], p["lokr_w2_a"] @ p["lokr_w2_b"])
    torch.testing.assert_close(after, before + strength * ALPHA / 2 * product)
    before, after, p = of("LoHa")
    product = (p["hada_w1_a"] @ p["hada_w1_b"]) * (p["hada_w2_a"] @ p["hada_w2_b"])
    torch.testing.assert_close(after, before + strength * ALPHA / RANK * product)
    before, after, p = of("DoRA by rows")
    whole = before + ALPHA / RANK * p["lora_B.weight"] @ p["lora_A.weight"]
    whole *= p["dora_scale"] / before.norm(dim=1, keepdim=True)
    torch.testing.assert_close(after, before + strength * (whole - before))
    before, after, p = of("set_weight")
    torch.testing.assert_close(after, p["set_weight"])


def test_an_alpha_that_only_the_metadata_has(tmp_path: Path) -> None:
    """PEFT scales by alpha over rank, and diffusers writes alpha into the metadata alone."""
    path = write_lora(tmp_path / "plain.safetensors", "diffusers", LAYERS)
    save_file(load_file(path), tmp_path / "declared.safetensors", ADAPTER)
    before, plain = changes(path, 1.0)
    _, declared = changes(tmp_path / "declared.safetensors", 1.0)
    key = f"{LAYER}.weight"
    torch.testing.assert_close(declared[key] - before[key], 8 / RANK * (plain[key] - before[key]))


def test_two_files_add_up(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "style.safetensors", "A and B", LAYERS)
    _, twice = changes(path, 0.25, 0.5)
    _, once = changes(path, 0.75)
    torch.testing.assert_close(twice, once)
