"""The page's server: addresses, and what answers them."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from farm.page.actions import Actions, Wish, refusal
from farm.page.drivers import Drivers
from farm.page.files import JobFiles
from farm.page.guard import CONFIG, guarded, with_headers
from farm.page.live import Fresh, follow
from farm.page.reading import Reader
from farm.page.views import Views
from jobs.errors import CannotRun, FarmError, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from farm.page.config import PageConfig

SCRIPT = Path(__file__).parent / "page.js"
FOR_GOOD = {"Cache-Control": "private, max-age=604800, immutable"}
"""Of what has the content's own mark in its address."""
MOST_DRAWN_AT_ONCE = 2
MOST_REQUEST_BYTES = 1 << 16


class Page:
    """Answers requests. What reads or writes a run directory does so in a thread."""

    def __init__(self, config: PageConfig) -> None:
        self.drivers = Drivers(config)
        reader = Reader(config)
        self._actions = Actions(reader, self.drivers)
        self._views = Views(reader, self._actions, self.drivers)
        self._files = JobFiles(reader)
        self._fresh = Fresh()
        self._drawing = asyncio.Semaphore(MOST_DRAWN_AT_ONCE)

    def routes(self, token: str) -> list[web.RouteDef]:
        """Every address, all of them under the token."""
        job = f"/{token}/jobs/{{job}}"
        return [
            web.get(f"/{token}/", self.jobs),
            web.get(f"/{token}/live", self.live_jobs),
            web.get(f"/{token}/page.js", self.script),
            web.get(f"/{token}/page.css", self.style),
            web.get(f"{job}/", self.job),
            web.get(f"{job}/live", self.live_job),
            web.get(f"{job}/log", self.log),
            web.get(f"{job}/film/{{video}}", self.film),
            web.get(f"{job}/thumb/{{video}}/{{chunk:\\d{{1,7}}}}", self.thumb),
            web.get(f"{job}/seam/{{video}}/{{chunk:\\d{{1,7}}}}/{{side}}", self.seam),
            web.get(f"{job}/sound/{{video}}", self.sound),
            web.post(f"{job}/ask/{{action}}", self.ask),
            web.post(f"{job}/do/{{action}}", self.do),
        ]

    async def warm(self) -> None:
        """Reads the list before anybody asks for it."""
        await self._fresh.get("", self._views.jobs)

    async def jobs(self, request: web.Request) -> web.Response:
        sections = await self._fresh.soon("", self._views.jobs)
        return _html(self._views.shell("Jobs", "", sections))

    async def live_jobs(self, request: web.Request) -> web.StreamResponse:
        return await follow(request, self._fresh, "", self._views.jobs)

    async def script(self, request: web.Request) -> web.Response:
        return web.Response(body=SCRIPT.read_bytes(), content_type="text/javascript")

    async def style(self, request: web.Request) -> web.Response:
        return web.Response(text=self._views.style(), content_type="text/css")

    async def job(self, request: web.Request) -> web.Response:
        name = request.match_info["job"]
        sections = await self._fresh.soon(name, lambda: self._views.job(name))
        return _html(self._views.shell(name, "../../", sections))

    async def live_job(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["job"]
        return await follow(request, self._fresh, name, lambda: self._views.job(name))

    async def log(self, request: web.Request) -> web.Response:
        return web.Response(text=await asyncio.to_thread(self._views.log, request.match_info["job"]))

    async def film(self, request: web.Request) -> web.StreamResponse:
        place = request.match_info
        path = await asyncio.to_thread(self._files.film, place["job"], place["video"])
        kind = {".mp4": "video/mp4", ".webm": "video/webm"}.get(path.suffix, "video/quicktime")
        return web.FileResponse(path, headers={"Content-Type": kind, "Cache-Control": "private, no-cache"})

    async def thumb(self, request: web.Request) -> web.Response:
        place = request.match_info
        return await self._drawn(
            "image/jpeg", self._files.thumb, place["job"], place["video"], int(place["chunk"])
        )

    async def seam(self, request: web.Request) -> web.Response:
        place = request.match_info
        job, video, chunk, side = place["job"], place["video"], int(place["chunk"]), place["side"]
        return await self._drawn("image/jpeg", self._files.seam, job, video, chunk, side)

    async def sound(self, request: web.Request) -> web.Response:
        place = request.match_info
        return await self._drawn("image/svg+xml", self._files.sound, place["job"], place["video"])

    async def _drawn(self, kind: str, draw: Callable[..., bytes], *place: Any) -> web.Response:
        async with self._drawing:
            data = await asyncio.to_thread(draw, *place)
        return web.Response(body=data, content_type=kind, headers=FOR_GOOD)

    async def ask(self, request: web.Request) -> web.Response:
        """What an action would cost; what is wrong with the wish is an answer, too."""
        try:
            name, job, wish = await self._wished(request)
            lines = await asyncio.to_thread(self._actions.ask, name, job, wish)
        except FarmError as error:
            return web.json_response({"refused": refusal(error)})
        return web.json_response({"lines": lines})

    async def do(self, request: web.Request) -> web.Response:
        """Does it."""
        try:
            name, job, wish = await self._wished(request)
            message = await asyncio.to_thread(self._actions.do, name, job, wish)
        except FarmError as error:
            return web.json_response({"refused": refusal(error)}, status=409)
        finally:
            self._fresh.forget()
        return web.json_response({"message": message})

    async def _wished(self, request: web.Request) -> tuple[str, str, Wish]:
        name = request.match_info["action"]
        if name not in self._actions.names or request.content_type != "application/json":
            raise UsageError([Problem("action", repr(name), "an action of the page", "reload the page")])
        return name, request.match_info["job"], Wish.read(await request.text())


@web.middleware
async def explained(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the farm refuses, in its own words."""
    try:
        return await handler(request)
    except UsageError as error:
        return web.Response(status=404, text=f"{error}\n")
    except FarmError as error:
        return web.Response(status=503, text=f"{error}\n")
    except FileNotFoundError:
        return web.Response(status=404, text="it is gone\n")


def make_app(config: PageConfig) -> web.Application:
    """The page as an aiohttp application."""
    app = web.Application(middlewares=[guarded, explained], client_max_size=MOST_REQUEST_BYTES)
    app[CONFIG] = config
    page = Page(config)
    app.add_routes(page.routes(config.token))
    app.on_response_prepare.append(with_headers)

    async def alive(_: web.Application) -> AsyncIterator[None]:
        await page.warm()
        yield
        page.drivers.close()

    app.cleanup_ctx.append(alive)
    return app


async def serve(config: PageConfig, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM; `tell` hears the address. Raises CannotRun where it cannot listen."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    runner = web.AppRunner(make_app(config), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        named = f"[{host}]" if ":" in host else host
        tell(f"http://{named}:{runner.addresses[0][1]}/{config.token}/")
        await stop.wait()
    except OSError as error:
        raise CannotRun(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port."
        ) from error
    finally:
        await runner.cleanup()


def _html(text: str) -> web.Response:
    response = web.Response(text=text, content_type="text/html")
    response.enable_compression()
    return response
