"""Small documents, events and requests, on every medium."""

from __future__ import annotations

import json
import math
import re

import pytest

from jobs.errors import DamagedDocument, NewerFormat, StorageProblem
from jobs.records import Form
from jobs.store import documents
from jobs.store.documents import STATE, RequestNote, UserRequest
from jobs.store.store import Store


def test_a_document_comes_back_as_it_was(store: Store) -> None:
    assert store.read_json(STATE) is None
    store.write_json(STATE, {"outcome": "done", "frames": [1, 2.5, None, "é"]})
    assert store.read_json(STATE) == {"outcome": "done", "frames": [1, 2.5, None, "é"]}
    store.write_json(STATE, {"outcome": "failed"})
    assert store.read_json(STATE) == {"outcome": "failed"}


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"outcome": "done"}'])
def test_a_torn_document_is_absent(store: Store, damage: bytes) -> None:
    store.write_json(STATE, {"outcome": "done"})
    store.backend.replace(STATE, damage)
    assert store.read_json(STATE) is None


def test_an_altered_number_is_noticed(store: Store) -> None:
    store.write_json(STATE, {"steps": 8})
    store.backend.replace(STATE, store.backend.read(STATE).replace(b"8", b"9", 1))
    assert store.read_json(STATE) is None


def test_text_keeps_its_bytes(store: Store) -> None:
    store.write_text("spec.yaml", "name: häfen\n")
    assert store.read_text("spec.yaml") == "name: häfen\n"
    store.backend.replace("spec.yaml", b"\xff")
    assert store.read_text("spec.yaml") is None


def numbers(store: Store, newest_run: bool = False) -> list[int]:
    return [json.loads(line.data)["number"] for line in store.event_lines(newest_run)]


def test_events_of_all_runs_stand_in_order(store: Store, runs_url: str) -> None:
    for number in range(300):
        store.append_event({"number": number})
    store.flush_events()
    second = Store.open(runs_url, "harbor")
    second.append_event({"number": 300})
    assert numbers(second) == list(range(301))
    assert len({line.run for line in second.event_lines()}) == 2


def test_a_line_knows_its_place(store: Store) -> None:
    for number in range(3):
        store.append_event({"number": number})
    store.flush_events()
    (name,) = store.backend.entries("events")
    assert [(line.file, line.number) for line in store.event_lines()] == [
        (f"events/{name}", number) for number in (1, 2, 3)
    ]
    (run,) = {line.run for line in store.event_lines()}
    assert re.fullmatch(r"\d{20}-[0-9a-f]{6}", run), "the same name on every medium"


def test_a_full_buffer_is_written_at_once(
    store: Store, runs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "FLUSH_S", math.inf)
    for number in range(documents.FLUSH_LINES):
        store.append_event({"number": number})
    assert numbers(Store.at(runs_url, "harbor")) == list(range(documents.FLUSH_LINES))


def test_the_newest_run_can_be_read_alone(store: Store, runs_url: str) -> None:
    store.append_event({"number": 0})
    second = Store.open(runs_url, "harbor")
    store.flush_events()
    for number in range(1, 600):
        second.append_event({"number": number})
    assert numbers(second, newest_run=True) == list(range(1, 600))


def test_seed_overrides_add_up_and_survive_a_torn_file(store: Store) -> None:
    assert store.seed_overrides() == {}
    store.override({("dawn", 3): 5})
    store.override({("dawn", 3): 6, ("noon", 0): 7})
    store.backend.replace("seeds.json", b"{")
    assert store.seed_overrides() == {("dawn", 3): 6, ("noon", 0): 7}
    store.backend.replace("seeds.copy.json", b"")
    with pytest.raises(StorageProblem, match=r"`farm retry harbor --all --reseed( --runs \S+)?`"):
        store.seed_overrides()


def test_a_request_stands_until_it_is_cleared(store: Store, runs_url: str) -> None:
    assert store.requests() == frozenset()
    store.request(UserRequest.PAUSE, "lunch")
    driver = Store.open(runs_url, "harbor")
    assert driver.requests() == {UserRequest.PAUSE}
    store.request(UserRequest.CANCEL)
    assert driver.requests() == {UserRequest.PAUSE, UserRequest.CANCEL}
    assert driver.clear_request(UserRequest.PAUSE)
    assert not driver.clear_request(UserRequest.PAUSE)
    assert store.requests() == {UserRequest.CANCEL}


def test_what_a_newer_version_wrote_is_not_written_over(store: Store) -> None:
    form = Form(STATE, RequestNote)
    store.require_ours(form)
    store.save(form, RequestNote(UserRequest.PAUSE))
    store.require_ours(form)
    store.write_json(STATE, {"format": 2, "farm": "9.9.9", "request": "pause"})
    assert store.load(form, "") == RequestNote(UserRequest.PAUSE)
    with pytest.raises(NewerFormat, match=r"state\.json was written by farm 9\.9\.9"):
        store.require_ours(form)


def test_a_damaged_document_is_refused_with_its_place(store: Store) -> None:
    form = Form(STATE, RequestNote)
    assert store.load(form, "do this") is None
    store.write_json(STATE, {"request": 3})
    assert store.recall(form) is None
    with pytest.raises(DamagedDocument) as refusal:
        store.load(form, "do this")
    (problem,) = refusal.value.problems
    assert (problem.place, problem.remedy) == (f"{store.url}/state.json", "do this")
    assert problem.value.startswith("request: 3")
