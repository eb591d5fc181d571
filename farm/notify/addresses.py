"""The addresses behind a label, as the operator of the machine wrote them down.

A spec names the label alone: with an address it could send what the farm knows anywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from jobs.errors import InputError, Problem, UsageError
from jobs.parsing.document import parse_yaml

FILE = "FARM_NOTIFY_FILE"
DEFAULT_FILE = "~/.config/ltx-farm/notify.yaml"
MOST_BYTES = 1 << 20


def variable(label: str) -> str:
    """The environment variable of a label: `FARM_NOTIFY_STUDIO`."""
    return "FARM_NOTIFY_" + label.upper().replace("-", "_")


def addresses_of(label: str) -> tuple[str, ...]:
    """Apprise addresses: those in the label's environment variable, between blanks, else those of the file.

    Raises UsageError where there are none, or where the file cannot be read.
    """
    given = os.environ.get(variable(label), "").split() or _from_file(label)
    if not given:
        rule = f"addresses in {variable(label)}, or under {label!r} in {file()}"
        remedy = "write there for example mailto://user:password@example.org; docs/notify.md lists more"
        raise UsageError([Problem("run.notify", f"{label!r} has no addresses here", rule, remedy)])
    return tuple(given)


def file() -> Path:
    """The file of the labels."""
    return Path(os.environ.get(FILE) or DEFAULT_FILE).expanduser()


def _from_file(label: str) -> list[str]:
    place = file()
    try:
        data = parse_yaml(place.read_text(), str(place), MOST_BYTES).data
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise _unusable(place, str(error).splitlines()[0]) from None
    listed = data.get(label, []) if isinstance(data, dict) else None
    listed = [listed] if isinstance(listed, str) else listed
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise _unusable(place, f"no list of addresses under {label!r}")
    return listed


def _unusable(place: Path, fault: str) -> UsageError:
    rule, remedy = (
        "labels, each with a list of addresses",
        "write for example `studio: [json://127.0.0.1:9000/]`",
    )
    return UsageError([Problem(str(place), fault, rule, remedy)])
