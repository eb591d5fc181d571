"""What can never fit is said before any actor exists, with both numbers."""

from __future__ import annotations

import sys

import pytest

from cluster.capacity import check_capacity, without_room
from cluster.inventory import UNKNOWN, Inventory, NodeFacts, WorkerRequest, read_inventory
from cluster.local_gpus import device_type
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


def test_what_is_in_reach() -> None:
    """Whole CPUs of the nodes that live, or what the autoscaler says."""
    alone = nodes(1, 1, cpus=4.5)
    assert (alone.reach_gpus, alone.reach_cpus, alone.growth) == (2, 8, "")
    growing = Inventory(alone.nodes, 16, 128)
    assert (growing.reach_gpus, growing.reach_cpus) == (16, 128)
    shrunk = Inventory(alone.nodes, 1, 4)
    assert (shrunk.reach_gpus, shrunk.reach_cpus) == (2, 8)
    assert "may reach 16 GPU" in growing.growth


def test_a_gpu_that_has_not_come_is_of_no_known_type() -> None:
    head = NodeFacts("h", "head", 0, 4)
    assert Inventory((head,), 8).device == UNKNOWN
    assert Inventory((head, NodeFacts("w", "w", 1, 4, "H100")), 8).device == "H100"
    assert Inventory((head,)).device == "cpu"


@pytest.mark.parametrize(
    ("limits", "gpus", "cpus", "said"),
    [
        (None, 0, 0, ""),
        ({"GPU": 16, "CPU": 128, "memory": 1}, 16, 128, "may reach 16 GPU"),
        ({"CPU": 8}, 0, 8, "may reach 0 GPU"),
        ({"GPU": sys.maxsize, "CPU": sys.maxsize}, float("inf"), float("inf"), "any number of GPU"),
    ],
)
def test_limits_of_the_autoscaler(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, int] | None, gpus: float, cpus: float, said: str
) -> None:
    import ray
    from ray._private.state import state

    monkeypatch.setattr(ray, "nodes", list)
    monkeypatch.setattr(state, "get_max_resources_from_cluster_config", lambda: limits)
    inventory = read_inventory()
    assert (inventory.reach_gpus, inventory.reach_cpus) == (gpus, cpus)
    assert said in inventory.growth


def test_the_device_is_what_most_gpus_are() -> None:
    """One node with a large GPU, and one with more of the small ones."""
    mixed = Inventory((NodeFacts("a", "a", 1, 8, "H200"), NodeFacts("b", "b", 4, 8, "L4")))
    assert (mixed.device, mixed.device_gib(), mixed.device_gib(every=True)) == ("L4", 24, 24)
    rather = Inventory((*mixed.nodes, NodeFacts("c", "c", 8, 8, "H200")))
    assert (rather.device, rather.device_gib(), rather.device_gib(every=True)) == ("H200", 141, 24)
    partly = Inventory((*rather.nodes, NodeFacts("d", "d", 1, 8)))
    assert (partly.device_gib(), partly.device_gib(every=True)) == (141, None)
    assert nodes(1, 1).device == "cpu"


def test_what_a_node_tells_of_its_gpus_counts_before_their_type() -> None:
    told = Inventory((NodeFacts("a", "a", 8, 8, "A100", device_gib=79.3), NodeFacts("b", "b", 1, 8, "L4")))
    assert (told.device_gib(), told.device_gib(every=True)) == (79.3, 24)
    silent = Inventory((*told.nodes, NodeFacts("c", "c", 8, 8, "A100")))
    assert silent.device_gib() == 79.3, "others of its type have told"
    consumer = Inventory((NodeFacts("a", "a", 2, 8, "GeForce-RTX-4090", device_gib=24.0),))
    assert consumer.device_gib() == 24.0


@pytest.mark.parametrize(
    "model",
    [
        "NVIDIA GeForce RTX 4090",
        "NVIDIA RTX A6000",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "NVIDIA H100 80GB HBM3",
        "NVIDIA A100-SXM4-80GB",
        "Tesla V100-SXM2-16GB",
        "NVIDIA TITAN RTX",
    ],
)
def test_gpus_are_named_as_ray_names_them(model: str) -> None:
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

    assert device_type(model) == NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(model)


def test_what_no_living_node_can_hold_is_named() -> None:
    one, two = WorkerRequest("one", gpus=1.0), WorkerRequest("two", gpus=1.0)
    inventory = Inventory((NodeFacts("a", "vm", gpus=1, cpus=2),))
    assert without_room(inventory, {}, [two]) == []
    assert without_room(inventory, {"a": [one]}, [two]) == [two]
    assert without_room(inventory, {"gone": [one]}, [two]) == []
    assert without_room(Inventory(()), {}, [one, two]) == [one, two]
    assert without_room(Inventory((), autoscale_gpus=1.0), {}, [one]) == []
