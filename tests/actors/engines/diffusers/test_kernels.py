"""Which attention kernel a plan freezes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from actors.engines.diffusers.kernels import (
    CLASSES,
    DEFAULT,
    Measured,
    candidates,
    choose,
    describe,
    measure,
    name_for,
    pick,
    spell,
)

CPU = torch.device("cpu")


def test_the_fastest_that_agrees_wins() -> None:
    found = [
        Measured(DEFAULT, 1.0, 0.0),
        Measured("cudnn", 0.7, 0.003),
        Measured("sage", 0.5, 0.05),
        Measured("efficient", fault="RuntimeError: no kernel"),
    ]
    assert pick(found) == "cudnn"
    assert "efficient" not in describe(found)


def test_a_gain_within_the_noise_changes_nothing() -> None:
    assert pick([Measured(DEFAULT, 1.0, 0.0), Measured("flash", 0.99, 0.0)]) == DEFAULT
    assert pick([Measured(DEFAULT, 1.0, 0.0)]) == DEFAULT


def test_one_name_where_all_sizes_agree() -> None:
    assert spell({8192: "cudnn", 32768: "cudnn"}) == "cudnn"
    assert spell({32768: "cudnn", 8192: "flash"}) == "8192:flash,32768:cudnn"


@pytest.mark.parametrize(
    ("tokens", "name"), [(1, "flash"), (8192, "flash"), (8193, "cudnn"), (99999, "cudnn")]
)
def test_a_size_takes_the_kernel_of_its_class(tokens: int, name: str) -> None:
    assert name_for("8192:flash,32768:cudnn", tokens) == name
    assert name_for(name, tokens) == name


def test_measuring_reports_errors_and_faults_instead_of_failing() -> None:
    def fails(_query: torch.Tensor, _key: torch.Tensor, _value: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no available kernel\nmore")

    kernels = {
        DEFAULT: F.scaled_dot_product_attention,
        "wrong": lambda query, key, value: 2 * F.scaled_dot_product_attention(query, key, value),
        "none": fails,
    }
    default, wrong, none = measure(kernels, (1, 2, 64, 16), torch.float32, CPU)
    assert default.error == 0.0
    assert default.seconds > 0
    assert wrong.error == pytest.approx(1.0, rel=1e-3)
    assert none.fault == "RuntimeError: no available kernel"
    assert pick([default, wrong, none]) == DEFAULT


def test_a_cpu_has_one_kernel() -> None:
    assert list(candidates(CPU)) == [DEFAULT]


def test_every_class_is_measured_with_the_model_s_own_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(_kernels: object, shape: tuple[int, ...], *_: object) -> list[Measured]:
        seen.append(shape)
        return [Measured(DEFAULT, 1.0, 0.0), Measured("cudnn", 0.5 if shape[2] == CLASSES[1] else 1.0, 0.0)]

    monkeypatch.setattr("actors.engines.diffusers.kernels.measure", record)
    assert choose(CPU, 32, 128, torch.bfloat16) == "8192:default,32768:cudnn"
    assert seen == [(1, 32, tokens, 128) for tokens in CLASSES]
