"""Starts the app: where its files are, its settings, and the warm-up of the compiled kernels."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import pkgutil
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sdqviz import explore, plots, ui
from sdqviz.ui import chart, housekeeping, proxy
from sdqviz.version import __version__

# Sessions share the cores. On small matrices two BLAS threads gain nothing alone, and wait for each other (up to a
# thousand times the work) when the cores are taken. Read when numpy loads, hence before it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Threads of torch and of the kernels that wait for each other sleep: by default they run in circles, on cores that
# pages need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

MAIN = Path(__file__).resolve().with_name("main.py")
"""The script Streamlit runs. It must have no neighbour called ``pages``: that would break deep links."""

CONFIG: dict[str, Any] = {
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.fileWatcherType": "none",
    # with torch loaded a full collection takes a fifth of a second, in which no other session and no job can move;
    # Streamlit would do one after every script, Python does it when enough has piled up
    "runner.postScriptGC": False,
    # what a browser has already is named, not sent again: a page repeats tens of kB of formulas, proofs and plots
    "global.minCachedMessageSize": 1000.0,
    "browser.gatherUsageStats": False,
    "global.disableWidgetStateDuplicationWarning": True,  # presets set controls that also have a default
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
}
"""Settings every way of starting the app uses; private by default."""


warm = threading.Event()
"""Set once all that is read ahead has been read."""

AFTER_THE_FIRST = 8.0
"""Seconds that compiling kernels and reading torch leave to the first visitor, whose page needs little of it."""


def launch(address: str = "127.0.0.1", port: int = 8501) -> None:
    """Serve the app until it is stopped.

    Parameters
    ----------
    address : str
        Address to listen on; the default is reachable from this computer only.
    port : int
        TCP port.
    """
    import streamlit as st

    app = st.App(MAIN, lifespan=lifespan, routes=routes(), middleware=middleware())
    quiet = {"logger.hideWelcomeMessage": True} if proxy.WORKER in os.environ else {}  # its port is nobody's business
    app.run(config=CONFIG | {"server.address": address, "server.port": port} | quiet)


def routes() -> list[Any]:
    """Return what is served beside the pages: whether all is well, and what draws the plots."""
    return [healthz(), chart.route()]


def healthz() -> Any:
    """Return the route ``/healthz``: 200 and a few words in JSON while visitors are served."""
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(_request: Any) -> JSONResponse:
        return JSONResponse(health(), headers={"Cache-Control": "no-store"})

    return Route(proxy.HEALTH, answer)


def health() -> dict[str, Any]:
    """Return what a probe is told of this process: no more than that it works, its version and how many visit."""
    from streamlit.runtime import Runtime

    sessions = Runtime.instance()._session_mgr.num_active_sessions() if Runtime.exists() else 0
    return {"status": "ok", "version": __version__, "visitors": sessions, "warm": warm.is_set()}


def middleware() -> list[Any]:
    """Return what requests pass through: Streamlit's own files are given at once.

    Of several processes, each gives its visitors the cookie that brings them back to it.
    """
    from starlette.middleware import Middleware

    from sdqviz.ui.bundle import Bundle

    number = os.environ.get(proxy.WORKER)
    return [Middleware(Bundle), *([] if number is None else [Middleware(Sticky, number=number)])]


class Sticky:
    """Gives a visitor the cookie of this process.

    Parameters
    ----------
    app : callable
        The application (ASGI).
    number : str
        The process.
    """

    def __init__(self, app: Any, number: str) -> None:
        self._app = app
        self._given = f"{proxy.COOKIE}={number}".encode()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        known = any(name == b"cookie" and self._given in value for name, value in scope.get("headers", ()))

        async def tell(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and not known:
                cookie = (b"set-cookie", self._given + b"; Path=/; HttpOnly; SameSite=Lax")
                message = message | {"headers": [*message.get("headers", ()), cookie]}
            await send(message)

        await self._app(scope, receive, tell if scope["type"] == "http" else send)


@contextlib.asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Draw a figure before the doors open, compile the kernels while the first visitor reads; keep house."""
    housekeeping.few_heaps()
    _first_figure()
    threading.Thread(target=_warm_up, name="sdqviz warm-up", daemon=True).start()
    if proxy.WORKER in os.environ:
        threading.Thread(target=_end_with_the_proxy, name="sdqviz proxy", daemon=True).start()
    keeping = asyncio.create_task(housekeeping.Housekeeper().work())
    yield {}
    keeping.cancel()
    from sdqviz.ui import job

    job.stop_all()


def _end_with_the_proxy() -> None:
    """Wait until the process that hands visitors on has gone, however it ended, and end too."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _first_figure() -> None:
    """Draw a figure: of Plotly much is read only then, and the first visitor would wait for it."""
    _who_asks()
    from scipy import fft  # noqa: F401 - imported ahead of the first transform

    from sdqviz.explore import sigma_delta
    from sdqviz.plots.sigma_delta import steps
    from sdqviz.plots.theme import Ink

    steps.draw_steps(sigma_delta.build({}), Ink()).figure.to_json()


def _who_asks() -> None:
    """Go once through every module there is, as Streamlit does before its first word to learn who started it."""
    inspect.stack()


def read_pages() -> None:
    """Import what pages are made of, none of which needs torch, while the first browser reads its own part."""
    for package in (explore, plots, ui):
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(one.name)
    _who_asks()


def _warm_up() -> None:
    read_pages()
    time.sleep(AFTER_THE_FIRST)
    from sdqviz.kernels.warm_up import warm_up

    warm_up()
    from sdqviz.explore import what_if
    from sdqviz.networks.catalogue import NETWORKS

    what_if.network(NETWORKS["mnist-fnn"]())  # with it torch: seconds that the first run of a network would wait
    housekeeping.settle()
    warm.set()
