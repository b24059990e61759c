"""``sdqviz app``: the pages in a browser."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import Annotated

import typer

from sdqviz.error import InputError


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for a class.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, where there is one.")] = True,
) -> None:
    """Serve the pages until Ctrl-C."""
    from sdqviz.ui.launch import launch

    _require_free(address, port)
    if browser and _has_screen():
        threading.Thread(target=_open_when_ready, args=(address, port), daemon=True).start()
    launch(address=address, port=port)


def _require_free(address: str, port: int) -> None:
    """Refuse a port that is taken or an address this computer does not have."""
    import socket

    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise InputError(f"address and port must be free on this computer, got {address}:{port}: {error}") from None


def _has_screen() -> bool:
    """Whether a person with a graphical screen started the command."""
    screen = sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return screen and sys.stdout.isatty()


def _open_when_ready(address: str, port: int) -> None:
    import socket
    import webbrowser

    host = "127.0.0.1" if address in {"", "0.0.0.0", "::"} else address
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            webbrowser.open(f"http://{host}:{port}")
            return
        time.sleep(0.1)
