"""What the training stages share."""

from __future__ import annotations

import pytest
import torch

from tools.train_tiny.optim import Optimiser
from tools.train_tiny.training import Average, Clock, Recorder, cosine


def test_a_restarted_clock_goes_on_counting_steps() -> None:
    clock, seen = Clock(seconds=1e6, limit_steps=5), []
    for step in clock.ticks():
        seen.append(step)
        if step == 1:
            clock.restart()
    assert seen == [0, 1, 2, 3, 4]


def test_the_rate_rises_then_falls_to_its_floor() -> None:
    rates = [cosine(i / 100) for i in range(101)]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(max(rates), abs=1e-3)
    assert rates[100] == pytest.approx(0.01)


def test_a_step_is_run_as_often_as_it_is_asked_for_on_a_cpu() -> None:
    record, runs = Recorder(torch.device("cpu")), []
    for _ in range(3):
        record("step", lambda: runs.append(1))
    assert len(runs) == 3


def test_the_optimiser_lowers_the_loss_of_matrices_and_vectors() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.ReLU(), torch.nn.Linear(32, 20))
    x = torch.randn(256, 24)
    y = x @ torch.randn(24, 20) / 5
    optimiser, average, losses = Optimiser([model], 1e-2), Average(model, 0.5), []
    for _ in range(60):
        loss = (model(x) - y).square().mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update()
    assert losses[-1] < 0.5 * losses[0]
    live = model.get_parameter("0.weight").detach().clone()
    average.swap()
    assert not torch.equal(model.get_parameter("0.weight"), live)
    average.swap()
    assert torch.equal(model.get_parameter("0.weight"), live)
