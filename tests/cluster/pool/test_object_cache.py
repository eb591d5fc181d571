"""Payloads stay in the object stores as far as these are large."""

from __future__ import annotations

from cluster.pool.object_cache import SHARE, Shelf


def test_a_node_takes_its_share_and_gets_it_back() -> None:
    shelf = Shelf(lambda: {"a": 100.0 / SHARE, "b": 10.0 / SHARE})
    assert shelf.room("a", 100)
    assert not shelf.room("b", 11)
    shelf.put("t1", "ref", "a", 60)
    assert not shelf.room("a", 50)
    assert shelf.refs(("t0", "t1")) == {"t1": ["ref"]}
    shelf.put("t1", "again", "a", 70)
    assert shelf.room("a", 30)
    shelf.drop("t1")
    shelf.drop("t1")
    assert shelf.room("a", 100)
    assert shelf.tasks() == frozenset()


def test_a_node_that_joins_later_is_asked_for() -> None:
    nodes = {"a": 100.0}
    shelf = Shelf(lambda: nodes)
    shelf.put("t1", "ref", "a", 10)
    assert not shelf.room("a", 41)
    nodes["b"] = 20.0
    assert not shelf.room("b", 11)
    assert shelf.room("a", 40)
    assert shelf.room("unknown", 10**9)
