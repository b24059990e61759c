"""Starts the app: where its files are, its settings, and the warm-up of the compiled kernels."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

# Sessions share the cores. On small matrices two BLAS threads gain nothing alone, and wait for each other (up to a
# thousand times the work) when the cores are taken. Read when numpy loads, hence before it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MAIN = Path(__file__).resolve().with_name("main.py")
"""The script Streamlit runs. It must have no neighbour called ``pages``: that would break deep links."""

CONFIG: dict[str, Any] = {
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.fileWatcherType": "none",
    # with torch loaded a full collection takes a fifth of a second, in which no other session and no job can move;
    # Streamlit would do one after every script, Python does it when enough has piled up
    "runner.postScriptGC": False,
    "browser.gatherUsageStats": False,
    "global.disableWidgetStateDuplicationWarning": True,  # presets set controls that also have a default
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
}
"""Settings every way of starting the app uses; private by default."""


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

    app = st.App(MAIN, lifespan=lifespan)
    app.run(config=CONFIG | {"server.address": address, "server.port": port})


@contextlib.asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Compile the kernels in the background while the first visitor reads."""
    threading.Thread(target=_warm_up, name="sdqviz warm-up", daemon=True).start()
    yield {}
    from sdqviz.ui import job

    job.stop_all()


def _warm_up() -> None:
    from scipy import fft  # noqa: F401 - imported ahead of the first transform

    from sdqviz.kernels.warm_up import warm_up

    warm_up()
