"""Drive the farm from Python: render a job, watch its events, get the films.

python examples/driver.py examples/demo.yaml
"""

import sys

import farm

USAGE = "usage: python examples/driver.py SPEC [RUNS]"


def main(spec: str, runs: str = "runs") -> None:
    films, outcome = [], ""
    for event in farm.render(spec, runs=runs):
        if isinstance(event, farm.TaskCommitted):
            print(f"{event.task} took {event.seconds:.1f} s on {event.worker}")
        if isinstance(event, farm.TaskFailed):
            print(f"{event.task}: {event.message}; {event.then}")
        if isinstance(event, farm.FilmDelivered) and not event.preview:
            films.append(event)
        if isinstance(event, farm.JobFinished):
            outcome = event.outcome
    for film in films:
        print(f"{film.path} {film.frames} frames, sha256 {film.sha256}")
    if outcome in ("cancelled", "interrupted"):
        raise farm.JobCancelled(f"the job ended {outcome}")
    if outcome != "done":
        raise farm.JobFailed(f"the job ended {outcome}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        print(USAGE, file=sys.stderr)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except farm.FarmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
