"""What a lock keeps and what is taken off it: shots, retries, damage, and what is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from farm.state.fingerprint import DIGESTS_FORM
from jobs.store.documents import LOCKED
from tests.farm.cli.lock.conftest import JOB, NEW, VIDEO, Film, Torch


def test_some_shots_are_locked(film: Film, torch: Torch) -> None:
    locked = film("lock", JOB, "--shots", "s01", "--shots", f"{VIDEO}/s02", "-o", "json").json
    assert locked["added"] == 8
    assert [shot["shot"] for shot in locked["shots"] if shot["locked"]] == ["s01", "s02"]
    torch.version = NEW
    assert "would make 12 of 20 tasks anew" in film("plan", film.spec).out
    film("unlock", JOB, "--shots", "s02")
    film.render()
    assert film.computed()["sample"] == 4


def test_the_old_take_comes_back_with_its_prompt(film: Film, torch: Torch) -> None:
    before = film.segments()
    film("lock", JOB)
    torch.version = NEW
    film.write(s05="another prompt")
    film.render()
    assert film("prune", "--results", "--older-than", "1h", "--yes").code == 0
    film.write()
    film.render()
    assert film.computed() == Counter()
    assert film.segments() == before
    assert film.film()["exact"]


def test_what_is_retried_is_locked_no_longer(film: Film, torch: Torch) -> None:
    film("lock", JOB)
    torch.version = NEW
    told = film("retry", JOB, "--videos", VIDEO, "--chunks", "4")
    assert "3 results of these were locked, and are no longer" in told.out
    film.render()
    assert film.computed() == {"sample": 1, "decode": 1, "segment": 1}
    assert not film.film()["exact"]


def test_what_is_damaged_is_made_again_and_says_so(film: Film, torch: Torch) -> None:
    film("lock", JOB)
    torch.version = NEW
    kept = film.store.recall(DIGESTS_FORM)
    assert kept is not None
    commit = film.store.commit(kept.digests[f"{VIDEO}/00004/segment"])
    assert commit is not None
    (film.runs / JOB / commit.file).write_bytes(b"torn")
    film.render()
    assert film.computed() == {"decode": 1, "segment": 1}
    assert not film.film()["exact"]
    assert film("verify", JOB).code == 0


def test_a_locked_job_is_not_deleted(film: Film) -> None:
    film("lock", JOB)
    refused = film("delete", JOB, "--yes")
    assert refused.code == 2
    assert f"`farm unlock {JOB} --runs {film.runs}` first" in refused.err
    film("unlock", JOB)
    assert film("delete", JOB, "--yes").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("lock", "flim"), "did you mean film"),
        (("lock", JOB, "--shots", "s99"), "write s01, "),
        (("unlock", JOB), "'film' is not locked"),
    ],
)
def test_what_is_not_there_is_refused(film: Film, words: tuple[str, ...], told: str) -> None:
    refused = film(*words)
    assert refused.code == 2
    assert told in refused.err
    assert "rule:" in refused.err
    assert "remedy:" in refused.err


def test_nothing_can_be_locked_that_is_not_committed(film: Film) -> None:
    film.store.void(film.store.committed_digests() | film.store.evicted_digests())
    refused = film("lock", JOB, "--shots", "s03")
    assert refused.code == 2
    assert "nothing of s03 is committed" in refused.err


def test_a_job_that_is_rendered_is_not_locked(film: Film) -> None:
    with film.store.lock():
        refused = film("lock", JOB)
    assert refused.code == 5
    assert "is being rendered" in refused.err


def test_a_damaged_lock_is_no_missing_one(film: Film) -> None:
    film("lock", JOB)
    (film.runs / JOB / LOCKED).write_text("{")
    refused = film("render", film.spec, "--serial")
    assert refused.code == 2
    assert f"{LOCKED}: no JSON object: it is torn" in refused.err
    assert f"`farm unlock {JOB} --runs {film.runs}`" in refused.err
    assert LOCKED in film("verify", JOB).out
    assert film("unlock", JOB).code == 0
    film.render()
