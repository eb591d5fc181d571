"""What can never fit is said before any actor exists, with both numbers."""

from __future__ import annotations

import pytest

from cluster.inventory import Inventory, NodeFacts, WorkerRequest, check_capacity
from jobs.errors import CapacityError


def nodes(*gpus: float, cpus: float = 4) -> Inventory:
    return Inventory(
        tuple(NodeFacts(id=str(i), host=f"node-{i}", gpus=g, cpus=cpus) for i, g in enumerate(gpus))
    )


def gpu_workers(*gpus: float) -> list[WorkerRequest]:
    return [WorkerRequest(f"w{i}", gpus=share) for i, share in enumerate(gpus)]


@pytest.mark.parametrize(
    ("have", "asked"),
    [
        ((2,), (1, 1)),
        ((1, 1), (1, 1)),
        ((1,), (0.5, 0.5)),
        ((1, 1), (0.5, 1, 0.5)),
        ((4, 2), (2, 4)),
        ((1,), (0.25,) * 4),
        ((0,), ()),
    ],
)
def test_fits(have: tuple[float, ...], asked: tuple[float, ...]) -> None:
    check_capacity(nodes(*have), gpu_workers(*asked))


@pytest.mark.parametrize(
    ("have", "asked"),
    [((2,), (1, 1, 1)), ((1, 1), (2,)), ((1,), (1, 0.5)), ((1, 1), (0.6, 0.6, 0.6)), ((0,), (0.1,))],
)
def test_never_fits(have: tuple[float, ...], asked: tuple[float, ...]) -> None:
    with pytest.raises(CapacityError):
        check_capacity(nodes(*have), gpu_workers(*asked))


def test_message_names_what_was_asked_and_what_each_node_has() -> None:
    with pytest.raises(CapacityError) as caught:
        check_capacity(nodes(2, 1), gpu_workers(*[1] * 5))
    message = str(caught.value)
    assert "5 GPU" in message
    assert "3 GPU" in message
    assert "node-0: 2 GPU" in message
    assert "node-1: 1 GPU" in message
    assert "--topology" in message


def test_cpus_count_too() -> None:
    asked = [WorkerRequest(f"segment-{i}", cpus=3) for i in range(3)]
    check_capacity(nodes(0, 0, 0), asked)
    with pytest.raises(CapacityError, match="9 CPU"):
        check_capacity(nodes(0, 0), asked)


def test_labels_are_matched() -> None:
    plain = NodeFacts("a", "a", 1, 1)
    labelled = NodeFacts("b", "b", 1, 1, labels={"zone": "x"})
    asked = [WorkerRequest("w", gpus=1, labels={"zone": "x"})]
    check_capacity(Inventory((plain, labelled)), asked)
    with pytest.raises(CapacityError, match="label zone=x"):
        check_capacity(Inventory((plain,)), asked)


def test_autoscaler_may_still_bring_what_is_missing() -> None:
    growing = Inventory(nodes(1).nodes, autoscale_gpus=8)
    check_capacity(growing, gpu_workers(*[1] * 8))
    with pytest.raises(CapacityError, match="8 GPU"):
        check_capacity(growing, gpu_workers(*[1] * 9))
