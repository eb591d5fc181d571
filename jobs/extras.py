"""What a light install lacks: the packages that only rendering needs."""

from __future__ import annotations

from importlib.util import find_spec

from jobs.errors import CannotRun

INSTALL_NOTIFY = "pip install 'ltx-farm[notify]'"
INSTALL_PAGE = "pip install 'ltx-farm[page]'"
INSTALL_RENDER = "pip install 'ltx-farm[render]'"


def lacking(*packages: str) -> list[str]:
    """Those of the packages that are not installed; none is imported."""
    return [package for package in packages if find_spec(package) is None]


def require_render(*packages: str) -> None:
    """Raises CannotRun, with the command to type, where one of the packages is not installed."""
    if missing := lacking(*packages):
        raise CannotRun(f"this needs {', '.join(missing)}, which a light install lacks: {INSTALL_RENDER}")


def require_page() -> None:
    """Raises CannotRun, with the command to type, where the page's server is not installed."""
    if missing := lacking("aiohttp"):
        raise CannotRun(f"this needs {', '.join(missing)}, which a light install lacks: {INSTALL_PAGE}")


def require_notify() -> None:
    """Raises CannotRun, with the command to type, where what sends notifications is not installed."""
    if missing := lacking("apprise"):
        raise CannotRun(f"this needs {', '.join(missing)}, which a light install lacks: {INSTALL_NOTIFY}")
