"""Who may ask: whoever has the token, from the page itself, under a name that is this server's.

The token is the first part of every path. A cookie would be sent to each other port of the same host, and a
node has other users with servers of their own. A name that is not this server's is another site's that was
made to point here; an origin that is not the page's is another page in the same browser.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from farm.page.config import PageConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONFIG = web.AppKey("config", PageConfig)
ACTION_HEADER = "X-Farm-Page"
"""Before sending it across origins browsers ask, and the answer is no."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
SAFE = ("GET", "HEAD")


def refusal(request: web.BaseRequest, config: PageConfig) -> str:
    """Why this request is not answered; empty where it is."""
    if not config.knows(urlsplit(f"//{request.host}").hostname or ""):
        return "this server is not known by that name: start it with --name for each one it is reached under"
    token = request.path.split("/", 2)[1]
    if not hmac.compare_digest(token.encode(), config.token.encode()):
        return "no token, or another one: open the address that the server printed when it started"
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return "another page asks"
    site, mode = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Mode")
    if site in ("cross-site", "same-site") and mode != "navigate":
        return "another page asks"
    if request.method not in SAFE and request.headers.get(ACTION_HEADER) != "1":
        return f"an action needs the header {ACTION_HEADER}: 1"
    return ""


@web.middleware
async def guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuses whoever may not ask, before anything is looked up."""
    if why := refusal(request, request.app[CONFIG]):
        return web.Response(status=403, text=why + "\n")
    return await handler(request)


async def with_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """What every answer tells the browser."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
