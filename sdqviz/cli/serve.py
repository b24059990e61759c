"""``sdqviz app``: the pages in a browser."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
import urllib.parse
from typing import Annotated

import typer

from sdqviz.cli.settings import network_class
from sdqviz.error import InputError


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for a class.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, where there is one.")] = True,
    network: Annotated[
        list[str] | None,
        typer.Option(help="A network of your own, my_file.py:make, to stand in every box; its code is run now."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes behind the port; each visitor stays with one of them.")
    ] = 1,
) -> None:
    """Serve the pages until Ctrl-C."""
    from sdqviz.ui import proxy
    from sdqviz.ui.launch import launch

    _require_free(address, port)
    page = ""
    for given in network or []:
        page = network_page(network_class(given).name)
        typer.echo(f"{given} is in the boxes; its page: http://{_reachable(address)}:{port}/{page}", err=True)
    if browser and _has_screen():
        threading.Thread(target=_open_when_ready, args=(address, port, page), daemon=True).start()
    if workers == 1:
        launch(address=address, port=port)
    else:
        proxy.serve(address, port, workers, functools.partial(_alone, network or []))


def _alone(networks: list[str], port: int) -> list[str]:
    """Return the command of one of several processes, which only this computer reaches."""
    given = [part for one in networks for part in ("--network", one)]
    return [sys.executable, "-m", "sdqviz.cli.main", "app", "--no-browser", "--port", str(port), *given]


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


def network_page(name: str) -> str:
    """Return the address of the Network page on a network, below that of the app."""
    return f"network?{urllib.parse.urlencode({'network': name})}"


def _reachable(address: str) -> str:
    return "127.0.0.1" if address in {"", "0.0.0.0", "::"} else address


def _open_when_ready(address: str, port: int, page: str = "") -> None:
    import socket
    import webbrowser

    host = _reachable(address)
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            webbrowser.open(f"http://{host}:{port}/{page}")
            return
        time.sleep(0.1)
