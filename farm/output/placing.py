"""Puts films and previews in place, and touches nothing that this job did not write.

Three things make it safe. A record is durable before anything is named or replaced. What stands at a name
must fit its record. And the job must still be this driver's: that is asked right before a name is given,
and a driver that slept between the two finds that its successor removed what it had made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.output.outlets import locate
from farm.output.records import Mark, OutputRecord, OutputRecords
from jobs.errors import StorageProblem, StoreUnusable
from jobs.hashing import sha256_of_file
from jobs.planning.output_names import temporary_name
from jobs.scratch import Scratch

if TYPE_CHECKING:
    from farm.output.outlet import ExistingOutput, Outlet
    from jobs.store.store import Store

Make = Callable[[Path], str]
"""Makes a film at the path; gives its SHA-256 (of a PNG sequence, that of its manifest)."""


class Placing:
    """Where one driver puts what it delivers; `confirm` raises JobBusy once the job is another driver's."""

    def __init__(self, store: Store, outlet: Outlet, confirm: Callable[[], None]) -> None:
        self.outlet, self._confirm = outlet, confirm
        self._records = OutputRecords(store)

    def take_over(self) -> None:
        """Removes what earlier drivers left unfinished, so that none of them can still put it in place."""
        for record in self._records.every():
            left = tuple(address for address in record.temporary if not _cleared(address, record))
            if left != record.temporary:
                self._records.write(replace(record, temporary=left))

    def put(self, name: str, make: Make, grows: bool = False, versions: int = 1) -> ExistingOutput:
        """Makes something and gives it its name; what stood there is replaced where this job wrote it. Of a
        film that is another one, `versions` are kept, the new one among them.

        Raises StorageProblem where somebody else's has the name or the medium refuses, JobBusy, and what
        `make` raises; then everything is as it was.
        """
        temporary, aside = temporary_name(name), temporary_name(name)
        hidden = [self.outlet.address(each) for each in (temporary, aside)]
        before = self._records.of(name)
        self._confirm()
        self._records.write(before.plus((), hidden))
        try:
            sha256 = make(self.outlet.workplace(temporary, name))
            made = self.outlet.upload(temporary, name)
            mark = Mark(self.outlet.address(name), made.size, made.stamp, sha256, grows)
            self._records.write(before.plus([mark], hidden))
            self._name(temporary, before, aside, self._kept(before, sha256) if versions > 1 else None)
        finally:
            with contextlib.suppress(StorageProblem):
                self.outlet.discard(temporary)
        for _, older in self._records.versions(name)[versions - 1 :] if versions > 1 else ():
            self.remove(older.name)
        placed = self.outlet.find(name) or made
        elsewhere = [each for each in before.marks if each.address != mark.address]
        left = [
            self.outlet.address(each) for each in (temporary, aside) if self.outlet.find(each) is not None
        ]
        after = OutputRecord(name, (), before.temporary).plus(
            [*elsewhere, replace(mark, stamp=placed.stamp)], left
        )
        self._records.write(after)
        return placed

    def grow(self, name: str, known: ExistingOutput, change: Callable[[Path], None]) -> ExistingOutput:
        """Adds to a file in place that still is as this driver left it (`known`), where the outlet
        appends."""
        self._confirm()
        if self.outlet.find(name) != known:
            raise foreign(self.outlet.address(name))
        change(Path(self.outlet.address(name)))
        return self.outlet.find(name) or known

    def remove(self, name: str) -> None:
        """Removes a file that this job wrote; leaves anything else where it is."""
        found = self.outlet.find(name)
        if found is not None and self._records.of(name).knows(self.outlet, name, found):
            self._confirm()
            self.outlet.discard(name)

    def stands(self, name: str, sha256: str) -> bool:
        """Whether a film is still there, byte for byte. In an object store, whose stamp changes with the
        content, it is not read where the stamp is the recorded one."""
        found = self.outlet.find(name)
        if found is None:
            return False
        record = self._records.of(name)
        known = any(mark.sha256 == sha256 and mark.has_stamp(found) for mark in record.marks)
        if known and not self.outlet.appends:
            return True
        whole = self.outlet.sha256(name) == sha256
        if whole and not known:
            mark = Mark(self.outlet.address(name), found.size, found.stamp, sha256)
            self._records.write(record.plus([mark], ()))
        return whole

    def _kept(self, record: OutputRecord, sha256: str) -> OutputRecord | None:
        """The record under which the film that stands there is kept; None where it is the new one, or is kept
        already."""
        name = record.name
        found = self.outlet.find(name)
        mark = record.mark_of(self.outlet, name, found) if found is not None else None
        known = {sha256}
        newest = next((older for _, older in self._records.versions(name)), None)
        if newest is not None and self.outlet.find(newest.name) is not None:
            known |= {each.sha256 for each in newest.marks}
        if found is None or mark is None or mark.sha256 in known:
            return None
        older = self._records.next_version(name)
        if self.outlet.find(older) is not None:
            raise foreign(self.outlet.address(older))
        return OutputRecord(older, (Mark(self.outlet.address(older), found.size, "", mark.sha256),))

    def _name(self, temporary: str, record: OutputRecord, aside: str, older: OutputRecord | None) -> None:
        name = record.name
        found = self.outlet.find(name)
        if found is not None and not record.knows(self.outlet, name, found):
            raise foreign(self.outlet.address(name))
        self._confirm()
        try:
            if found is not None and older is not None:
                self._records.write(older)
                self.outlet.keep(name, older.name)
                found = self.outlet.find(name)
            if found is None:
                self.outlet.create(temporary, name)
            elif self.outlet.find(name) == found:
                self.outlet.replace(temporary, name, aside)
            else:
                raise foreign(self.outlet.address(name))
        except FileExistsError:
            raise foreign(self.outlet.address(name)) from None
        except StorageProblem:
            # What was made may be gone because another driver has the job by now.
            self._confirm()
            raise


class Screen:
    """Where a preview is shown. For an outlet that cannot append, a copy on this machine grows and is put
    anew."""

    def __init__(self, placing: Placing, name: str) -> None:
        self.name, self._placing = name, placing
        self._copies = Scratch()
        self._shown: ExistingOutput | None = None

    @property
    def address(self) -> str:
        """Path or URL of the preview."""
        return self._placing.outlet.address(self.name)

    def show(self, make: Callable[[Path], None]) -> None:
        """Shows what `make` writes at the path it is given, in place of an earlier preview of this job.

        Raises as `Placing.put`.
        """

        def made(path: Path) -> str:
            make(path)
            if not self._placing.outlet.appends:
                shutil.copyfile(path, self._copy)
            return sha256_of_file(path)

        self._shown = self._placing.put(self.name, made, grows=True)

    def add(self, change: Callable[[Path], None]) -> None:
        """Shows what `change` makes of the preview's file, to whose end it adds; all of it or nothing.
        `show` comes first."""
        if self._placing.outlet.appends:
            assert self._shown is not None
            try:
                self._shown = self._placing.grow(self.name, self._shown, change)
            except OSError:
                # What was added is taken back, at another time than was known.
                self._shown = self._placing.outlet.find(self.name)
                raise
            return
        whole_bytes = self._copy.stat().st_size
        change(self._copy)
        try:
            self._placing.put(self.name, self._copied, grows=True)
        except BaseException:
            os.truncate(self._copy, whole_bytes)
            raise

    def close(self) -> None:
        """Drops the copy."""
        self._copies.clear()

    @property
    def _copy(self) -> Path:
        return self._copies.folder() / self.name

    def _copied(self, path: Path) -> str:
        shutil.copyfile(self._copy, path)
        return sha256_of_file(path)


def foreign(address: str) -> StorageProblem:
    """The refusal to replace what somebody else put there."""
    return StorageProblem(
        f"{address} holds something that this job did not write, and it is left alone. Move it away, or give "
        "the video another name or `output.dir`; then resume the job."
    )


def _cleared(address: str, record: OutputRecord) -> bool:
    """Whether nothing is left at the address of something unfinished. A folder that this job had set aside,
    and whose successor never came, has its name back."""
    try:
        outlet, temporary = locate(address)
        found = outlet.find(temporary)
        lost = found is not None and found.is_folder and outlet.find(record.name) is None
        if lost and found is not None and record.knows(outlet, temporary, found):
            outlet.create(temporary, record.name)
        else:
            outlet.discard(temporary)
        return outlet.find(temporary) is None
    except (StorageProblem, StoreUnusable, FileExistsError):
        return False
