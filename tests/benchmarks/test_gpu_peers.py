"""The clip by others: who is run, ComfyUI's graph, and attention to guides without a mask."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.ltx_video.attention import weighted_guides
from benchmarks.gpu.attention import flash4
from benchmarks.gpu.peers.clip import REAL
from benchmarks.gpu.peers.comfyui_side import graph
from benchmarks.gpu.peers.item import wanted


def test_those_are_run_whose_names_begin_as_asked_for() -> None:
    names = ("farm", "farm, fp8", "ComfyUI", "ComfyUI, fp8")
    assert [name for name in names if wanted(name, ())] == list(names)
    assert [name for name in names if wanted(name, ("farm", "comfyui"))] == list(names)
    assert [name for name in names if wanted(name, ("comfyui, fp8",))] == ["ComfyUI, fp8"]


def test_comfyui_s_graph_links_nodes_that_are_there() -> None:
    made = graph(REAL, 6144, 7, "model.safetensors", "larger.safetensors")
    links = [value for node in made.values() for value in node["inputs"].values() if isinstance(value, tuple)]
    assert {name for name, _ in links} == made.keys() - {"finished"}
    assert (made["empty"]["inputs"]["width"], made["empty"]["inputs"]["height"]) == (960, 544)
    assert made["first noise"]["inputs"]["noise_seed"] == 7


def _with_sums(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
    return F.scaled_dot_product_attention(query, key, value), scores.logsumexp(3)


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.01])
def test_guides_are_merged_by_their_sums_as_a_mask_weighs_them(weight: float) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 24, 16)
    weights = torch.full((8,), math.log(weight))
    merged = flash4.weighted(query, key, value, 8, math.log(weight), _with_sums)
    torch.testing.assert_close(merged, weighted_guides(query, key, value, weights))
