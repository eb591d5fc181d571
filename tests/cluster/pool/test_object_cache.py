"""Payloads stay in the object stores as far as these are large."""

from __future__ import annotations

from cluster.pool.object_cache import SHARE, ObjectCache


def test_a_node_takes_its_share_and_gets_it_back() -> None:
    cache = ObjectCache(lambda: {"a": 100.0 / SHARE, "b": 10.0 / SHARE})
    assert cache.room("a", 100)
    assert not cache.room("b", 11)
    cache.put("t1", "ref", "a", 60)
    assert not cache.room("a", 50)
    assert cache.refs(("t0", "t1")) == {"t1": ["ref"]}
    cache.put("t1", "again", "a", 70)
    assert cache.room("a", 30)
    cache.drop("t1")
    cache.drop("t1")
    assert cache.room("a", 100)
    assert cache.tasks() == frozenset()


def test_a_node_that_joins_later_is_asked_for() -> None:
    nodes = {"a": 100.0}
    cache = ObjectCache(lambda: nodes)
    cache.put("t1", "ref", "a", 10)
    assert not cache.room("a", 41)
    nodes["b"] = 20.0
    assert not cache.room("b", 11)
    assert cache.room("a", 40)
    assert cache.room("unknown", 10**9)
