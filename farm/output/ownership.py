"""What stands where a job is going to put films and previews, and whose it is.

Nothing is replaced that this job did not write. That is found before anything is rendered, and said with
what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from farm.output.outlets import outlet_of
from farm.output.records import OutputRecords
from farm.state.creation import dated
from jobs.errors import AccessDenied, Problem, StorageProblem, StoreUnusable, UsageError
from jobs.planning.output_names import planned_names, same_name
from jobs.store.documents import PLAN
from jobs.store.lock import Driver, presence
from jobs.store.opening import JOB_ID
from jobs.store.store import Store

if TYPE_CHECKING:
    from jobs.planning.planned import Plan, PlannedVideo


def require_output(plan: Plan, store: Store) -> None:
    """Raises StoreUnusable where no film could be written, or where the store would clear it away: better now
    than when all is rendered."""
    if PurePath(plan.output.dir).is_relative_to(store.url):
        raise StoreUnusable(
            f"films cannot go to {plan.output.dir}, which is in the run directory: the farm clears away what "
            "it does not know there. Choose another `output.dir`."
        )
    try:
        outlet_of(plan.output.dir).probe()
    except StorageProblem as error:
        raise StoreUnusable(
            f"cannot write films to {plan.output.dir}: {error.cause or error}. Create the folder or bucket, "
            "grant access, or choose another `output.dir`."
        ) from error


def refuse_foreign_outputs(plan: Plan, store: Store) -> None:
    """Raises UsageError with every problem of `foreign_outputs`."""
    if problems := list(foreign_outputs(plan, store)):
        raise UsageError(problems)


def foreign_outputs(plan: Plan, store: Store) -> Iterator[Problem]:
    """What stands where this job's films and previews go and is not its own; and films that a job of the
    same runs directory is about to put there. `store` is the job's, which need not exist yet."""
    plan = plan if plan.created else dated(plan, store)
    outlet = outlet_of(plan.output.dir)
    records = OutputRecords(store)
    wanted = _wanted(plan, records)
    existing = outlet.existing(wanted)
    taken = [name for name, found in existing.items() if not records.of(name).knows(outlet, name, found)]
    owners = _owners(taken, plan, store) if taken else {}
    for name in taken:
        written = any(mark.address == outlet.address(name) for mark in records.of(name).marks)
        rule, remedy = _refusal(owners.get(name), written, existing[name].is_folder)
        yield Problem(_place(wanted[name]), f"{outlet.address(name)} exists", rule, remedy)
    yield from _also_made(plan, wanted, store)


def _wanted(plan: Plan, records: OutputRecords) -> dict[str, PlannedVideo]:
    """The video of every name that the job may write; of films that are kept, of the next that one gets."""
    names = {output.name: video for video in plan.videos for output in planned_names(plan, video)}
    if plan.output.versions > 1:
        films = ((name, video) for video in plan.films for name in video.outputs)
        names |= {records.next_version(name): video for name, video in films}
    return names


def _refusal(owner: str | None, written: bool, is_folder: bool) -> tuple[str, str]:
    """Rule and remedy for something that is not this job's."""
    if owner is not None:
        return (
            f"job {owner} delivered a film there, which would be lost",
            "rename the video, or give another `output.dir`",
        )
    if written:
        what = "what is in it was changed or added to" if is_folder else "it was changed"
        return (
            f"only what the job wrote itself is replaced; {what} since it was delivered",
            "keep it under another name, or delete it",
        )
    return (
        "only what the job wrote itself is replaced, and no record of it says so here",
        "move it away, rename the video, give another `output.dir`, or name the runs of that job with --runs",
    )


def _owners(names: Collection[str], plan: Plan, store: Store) -> dict[str, str]:
    """The job of the same runs directory that delivered what stands at a name, where there is one."""
    outlet, found = outlet_of(plan.output.dir), {}
    for other in _others(store):
        records = OutputRecords(other)
        for name in names:
            if any(mark.address == outlet.address(name) for mark in records.of(name).marks):
                found[name] = other.job_id
    return found


def _also_made(plan: Plan, wanted: Mapping[str, PlannedVideo], store: Store) -> Iterator[Problem]:
    """Films that a job which renders now is going to put at a name of this one. In object stores every job
    would cost several requests, and the later film is refused when it is delivered."""
    if store.backend.path("") is None:
        return
    mine = {_same_place(plan.output.dir, name): name for name in wanted}
    for other in _others(store):
        if presence(other.backend).driver is not Driver.RUNNING:
            continue
        for name in filter(None, map(mine.get, _films_of(other))):
            rule = f"job {other.job_id}, which renders now, puts a film there"
            remedy = "rename the video, or give another `output.dir`"
            yield Problem(_place(wanted[name]), f"{plan.output.dir}/{name}", rule, remedy)


def _films_of(other: Store) -> Iterator[str]:
    """Where a job is going to put its films, from the plan that it wrote."""
    document = (other.read_json(PLAN) or {}).get("plan", {})
    try:
        folder = document["output"]["dir"]
        for video in document["videos"]:
            for name in (video["output"], *video.get("more_outputs", ())):
                yield _same_place(folder, name)
    except (KeyError, TypeError):
        return


def _others(store: Store) -> Iterator[Store]:
    """The folders beside the job's that this user may look into: a film of another one is refused when it is
    delivered. One that is no job has neither records nor a driver."""
    for name in store.backend.folders():
        if JOB_ID.match(name) and name != store.job_id:
            other = Store.at(store.runs_url, name)
            with suppress(AccessDenied):
                other.exists()
                yield other


def _same_place(folder: str, name: str) -> str:
    return same_name(str(PurePath(folder, name)))


def _place(video: PlannedVideo) -> str:
    """The video's name in the spec."""
    return f"{video.chunks[0].place.partition('.')[0]}.name"
