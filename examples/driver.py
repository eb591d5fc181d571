"""Drive the farm from Python: render a job, watch its events, get the films.

python examples/driver.py examples/demo.yaml
"""

import sys

import farm

films = []
for event in farm.render(sys.argv[1], runs=sys.argv[2] if len(sys.argv) > 2 else "runs"):
    if isinstance(event, farm.TaskCommitted):
        print(f"{event.task} took {event.seconds:.1f} s on {event.worker}")
    if isinstance(event, farm.FilmDelivered) and not event.preview:
        films.append(event)
for film in films:
    print(f"{film.path} {film.frames} frames, sha256 {film.sha256}")
