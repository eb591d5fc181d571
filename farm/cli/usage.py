"""A command line that does not parse, reported like every other mistake: place, value, rule, remedy."""

from __future__ import annotations

from collections.abc import Sequence

from typer.exceptions import TyperException

from jobs.errors import Problem, UsageError

USAGE = 2


def usage_error(error: TyperException, argv: Sequence[str]) -> UsageError:
    """The error of a wrong argument, option or command."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "farm"
    option = _option(error)
    if option and hasattr(error, "possibilities"):
        return UsageError([Problem(command, repr(option), "an option that it has", _remedy(error, command))])
    place = f"{command} {option}" if option else command
    return UsageError([Problem(place, _value(option, argv), _rule(error), _remedy(error, command))])


def _option(error: TyperException) -> str:
    """The option or argument that the error is about; empty where it is about the whole command."""
    parameter = getattr(error, "param", None)
    if parameter is None:
        return getattr(error, "option_name", "")
    flags = [name for name in parameter.opts if name.startswith("-")]
    return str(max(flags, key=len) if flags else parameter.metavar or parameter.name)


def _value(option: str, argv: Sequence[str]) -> str:
    """What the user wrote there."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if option and word == option:
            return repr(following) if following else "nothing"
        if option and word.startswith(f"{option}="):
            return repr(word.partition("=")[2])
    return repr(" ".join(["farm", *argv]))


def _remedy(error: TyperException, command: str) -> str:
    near = getattr(error, "possibilities", None)
    meant = f"did you mean {', '.join(sorted(near))}? " if near else ""
    return f"{meant}`{command} --help` lists what there is"


def _rule(error: TyperException) -> str:
    text = error.message or error.format_message()
    return text.removeprefix("Value error, ").removeprefix("Input should be ").rstrip(".")
