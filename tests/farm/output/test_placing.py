"""Films and previews are put in place whole, and nothing is touched that the job did not write."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from actors.media.codecs import png_name
from farm.output.outlets import outlet_of
from farm.output.placing import Placing
from farm.output.png_sequences import sequence_sha256
from farm.output.records import RECORD_FORM, Mark, OutputRecord, OutputRecords
from jobs.errors import JobBusy, StorageProblem
from jobs.store.store import Store

FILM = "dawn.mp4"
numbers = itertools.count()


class Place:
    """An output folder or bucket with one job that delivers there."""

    def __init__(self, runs: Path, url: str) -> None:
        self.runs, self.url = runs, url
        self.files, self.root = fsspec.core.url_to_fs(url)

    def placing(self, job: str = "harbor", confirm: Callable[[], None] = lambda: None) -> Placing:
        """What a new driver of the job puts things in place with."""
        return Placing(Store.open(str(self.runs), job), outlet_of(self.url), confirm)

    def put(self, name: str, content: bytes) -> None:
        """What somebody else does."""
        path = f"{self.root}/{name}"
        self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.files.pipe_file(path, content)

    def all(self) -> dict[str, bytes]:
        """Everything there, hidden or not."""
        found = self.files.find(self.root, withdirs=False)
        return {path.removeprefix(f"{self.root}/"): self.files.cat_file(path) for path in found}


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    urls = {"folder": str(tmp_path / "out"), "memory": f"memory://placing-{next(numbers)}/out"}
    if request.param == "s3":
        urls["s3"] = f"{request.getfixturevalue('s3_url')}/placing-{next(numbers)}"
    return Place(tmp_path / "runs", urls[request.param])


def writes(content: bytes) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    return make


def test_a_film_is_put_replaced_and_known_again(place: Place) -> None:
    place.placing().put(FILM, writes(b"first"))
    assert place.all() == {FILM: b"first"}
    second = place.placing()
    assert second.stands(FILM, hashlib.sha256(b"first").hexdigest())
    second.put(FILM, writes(b"second"))
    assert place.all() == {FILM: b"second"}
    assert not second.stands(FILM, hashlib.sha256(b"first").hexdigest())
    assert OutputRecords(Store.at(str(place.runs), "harbor")).of(FILM).temporary == ()


def test_what_somebody_else_wrote_stays(place: Place) -> None:
    place.put(FILM, b"a holiday")
    with pytest.raises(StorageProblem, match=r"dawn\.mp4 holds something that this job did not write"):
        place.placing().put(FILM, writes(b"film"))
    place.placing().remove(FILM)
    assert place.all() == {FILM: b"a holiday"}


def test_a_film_that_was_edited_stays(place: Place) -> None:
    place.placing().put(FILM, writes(b"first"))
    place.put(FILM, b"graded")
    with pytest.raises(StorageProblem, match="did not write"):
        place.placing().put(FILM, writes(b"second"))
    assert place.all() == {FILM: b"graded"}


def test_a_copy_of_a_film_is_known_by_its_content(place: Place) -> None:
    """Restored from a backup, or moved with its runs: other stamps, the same bytes."""
    place.placing().put(FILM, writes(b"first"))
    place.put(FILM, b"first")
    place.placing().put(FILM, writes(b"second"))
    moved = Place(place.runs, f"{place.url}-moved")
    moved.put(FILM, b"second")
    moved.placing().put(FILM, writes(b"third"))
    assert (place.all(), moved.all()) == ({FILM: b"second"}, {FILM: b"third"})


def test_another_job_owns_nothing_here(place: Place) -> None:
    place.placing("noon").put(FILM, writes(b"of noon"))
    with pytest.raises(StorageProblem, match="did not write"):
        place.placing("harbor").put(FILM, writes(b"of harbor"))
    assert place.all() == {FILM: b"of noon"}


def test_the_record_comes_first(place: Place) -> None:
    """Whenever a driver dies, what it wrote is known to the next one, and goes."""
    seen: list[bool] = []

    def make(path: Path) -> str:
        record = OutputRecords(Store.at(str(place.runs), "harbor")).of(FILM)
        seen.append(len(record.temporary) == 2)
        path.write_bytes(b"half a fi")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.placing().put(FILM, make)
    assert seen == [True]
    assert place.all() == {}


def test_unfinished_things_go_and_others_hidden_files_stay(place: Place) -> None:
    place.put(".dawn.mp4.partial", b"somebody else's")
    left: list[str] = []

    def dies(_path: Path) -> str:
        record = OutputRecords(Store.at(str(place.runs), "harbor")).of(FILM)
        left.append(record.temporary[0].rpartition("/")[2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.placing().put(FILM, dies)
    place.put(left[0], b"what a killed driver left")
    place.placing().take_over()
    assert place.all() == {".dawn.mp4.partial": b"somebody else's"}
    assert OutputRecords(Store.at(str(place.runs), "harbor")).of(FILM).temporary == ()


def test_a_driver_that_lost_the_job_puts_nothing(place: Place) -> None:
    place.placing().put(FILM, writes(b"first"))

    def lost() -> None:
        raise JobBusy("another driver has it")

    with pytest.raises(JobBusy):
        place.placing(confirm=lost).put(FILM, writes(b"late"))
    assert place.all() == {FILM: b"first"}


def test_a_driver_that_slept_right_before_the_name_puts_nothing(place: Place) -> None:
    """It has just seen that the job is its own; its successor clears away what it had made."""
    asked: list[int] = []

    def sleeps() -> None:
        asked.append(1)
        if len(asked) == 2:
            place.placing().take_over()
            place.placing().put(FILM, writes(b"of the successor"))

    with pytest.raises(StorageProblem):
        place.placing(confirm=sleeps).put(FILM, writes(b"late"))
    assert place.all() == {FILM: b"of the successor"}
    place.placing().put(FILM, writes(b"the next"))
    assert place.all() == {FILM: b"the next"}


def test_two_jobs_at_once_have_a_whole_film_each_or_none(place: Place) -> None:
    """What the one makes is never the other's, whichever is first."""

    def meanwhile(path: Path) -> str:
        place.placing("noon").put(FILM, writes(b"of noon"))
        return writes(b"of harbor, and longer")(path)

    with pytest.raises(StorageProblem, match="did not write"):
        place.placing("harbor").put(FILM, meanwhile)
    assert place.all() == {FILM: b"of noon"}


def test_a_growing_file_is_known_by_its_beginning(place: Place) -> None:
    one = b"one" * 400
    place.placing().put("dawn.preview.mp4", writes(one), grows=True)
    place.put("dawn.preview.mp4", one + b" two")
    place.placing().remove("dawn.preview.mp4")
    assert place.all() == {}
    place.put("dawn.preview.mp4", b"eins" + one)
    place.placing().remove("dawn.preview.mp4")
    assert place.all() == {"dawn.preview.mp4": b"eins" + one}


def test_records_of_somebody_else_reach_nothing(place: Place, tmp_path: Path) -> None:
    """A run directory that was sent around: neither any path nor the beginning that all files have counts."""
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    place.put(FILM, b"a holiday")
    store = Store.open(str(place.runs), "harbor")
    nothing = Mark("", 0, "", hashlib.sha256().hexdigest(), grows=True)
    for record in (
        OutputRecord(FILM, (), (str(precious),)),
        OutputRecord(FILM, (nothing,)),
        OutputRecord(f"../{FILM}"),
    ):
        store.save(RECORD_FORM, record, f"outputs/{FILM}.{next(numbers):016x}.json")
    place.placing().take_over()
    with pytest.raises(StorageProblem, match="did not write"):
        place.placing().put(FILM, writes(b"film"))
    assert (precious.read_text(), place.all()) == ("precious", {FILM: b"a holiday"})


def test_damaged_records_make_nothing_ones_own(place: Place) -> None:
    place.placing().put(FILM, writes(b"first"))
    store = Store.at(str(place.runs), "harbor")
    for name in store.backend.entries("outputs"):
        store.backend.replace(f"outputs/{name}", b"{")
    with pytest.raises(StorageProblem, match="did not write"):
        place.placing().put(FILM, writes(b"second"))


def pictures(count: int, shade: bytes) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        path.mkdir()
        for index in range(count):
            (path / png_name(index)).write_bytes(shade * (index + 1))
        return sequence_sha256(path, count)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(tmp_path / "runs", str(tmp_path / "out"))


def test_a_sequence_is_replaced_by_a_shorter_one(folder: Place) -> None:
    folder.placing().put("dawn", pictures(4, b"a"))
    folder.placing().put("dawn", pictures(2, b"b"))
    assert folder.all() == {f"dawn/{png_name(0)}": b"b", f"dawn/{png_name(1)}": b"bb"}
    assert [path.name for path in Path(folder.url).iterdir()] == ["dawn"]


@pytest.mark.parametrize("what", ["notes", "retouched", "fewer"])
def test_a_sequence_that_holds_other_things_stays(folder: Place, what: str) -> None:
    folder.placing().put("dawn", pictures(3, b"a"))
    if what == "notes":
        folder.put("dawn/notes.txt", b"for the cut")
    elif what == "retouched":
        folder.put(f"dawn/{png_name(1)}", b"xx")
    else:
        folder.files.rm_file(f"{folder.root}/dawn/{png_name(2)}")
    before = folder.all()
    with pytest.raises(StorageProblem, match="did not write"):
        folder.placing().put("dawn", pictures(2, b"b"))
    assert folder.all() == before


def test_a_folder_named_like_a_sequence_stays(folder: Place) -> None:
    folder.put("dawn/holiday.jpg", b"a holiday")
    with pytest.raises(StorageProblem, match="did not write"):
        folder.placing().put("dawn", pictures(2, b"b"))
    folder.placing().take_over()
    assert folder.all() == {"dawn/holiday.jpg": b"a holiday"}


def test_a_sequence_that_was_set_aside_comes_back(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that dies between the two renames of a folder."""
    folder.placing().put("dawn", pictures(3, b"a"))
    before = folder.all()
    dying = folder.placing()

    def dies(_temporary: str, name: str, aside: str) -> None:
        (Path(folder.url) / name).rename(Path(folder.url) / aside)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dying.outlet, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            dying.put("dawn", pictures(2, b"b"))
    assert not (Path(folder.url) / "dawn").exists()
    folder.placing().take_over()
    assert folder.all() == before


def test_links_are_not_followed(folder: Place, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / png_name(0)).write_bytes(b"mine")
    Path(folder.url).mkdir()
    (Path(folder.url) / "dawn").symlink_to(tmp_path / "mine")
    (Path(folder.url) / FILM).symlink_to(tmp_path / "mine" / png_name(0))
    for name, make in (("dawn", pictures(1, b"a")), (FILM, writes(b"film"))):
        with pytest.raises(StorageProblem, match="did not write"):
            folder.placing().put(name, make)
    assert (tmp_path / "mine" / png_name(0)).read_bytes() == b"mine"
