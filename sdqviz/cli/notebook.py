"""``sq.show(network)``: the app opened on a network that a notebook or a program holds."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from sdqviz.cli.serve import network_page
from sdqviz.error import InputError

if TYPE_CHECKING:
    from sdqviz.networks.network import Network

START = 60.0
"""Seconds in which the app has to answer."""

MAKER = """
import pickle
from pathlib import Path


def network():
    module, example, dataset = pickle.loads(Path(__file__).with_suffix(".pickle").read_bytes())
    return (module, example) if dataset is None else (module, example, dataset)
"""
"""The file the app is given; what it reads was written by this process a moment before."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """An app that runs beside this process, and ends with it.

    Attributes
    ----------
    url : str
        Where it is.
    process : subprocess.Popen
        What serves it.
    """

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the app."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def show(network: Network, browser: bool = True) -> Shown:
    """Open the app on a network, in a process of its own; the notebook goes on.

    Parameters
    ----------
    network : Network
        What is shown, as ``notebook.py:network``; it goes through a private file that is deleted in the end.
    browser : bool
        Whether to open a browser; the address is in the result.

    Returns
    -------
    Shown
        Its ``stop()`` ends the app; it also ends with this process.

    Raises
    ------
    InputError
        If the network cannot be handed over, or the app does not start.
    """
    from joblib.externals.loky.cloudpickle_wrapper import dumps  # also of classes that no file holds

    from sdqviz.networks.network import Network as Kind

    if not isinstance(network, Kind) or network.example_input is None:
        raise InputError(f"network must be an sq.Network with a forward pass, got {type(network).__name__}")
    folder = Path(tempfile.mkdtemp(prefix="sdqviz-notebook-"))
    file = folder / "notebook.py"
    try:
        whole = (network.module, network.example_input, network.dataset)
        file.with_suffix(".pickle").write_bytes(dumps(whole))
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"network must be one that can be handed to another process, got {error}") from error
    file.write_text(MAKER, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--network", f"{file}:network", "--port", str(port), "--no-browser"]
    log = folder / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "sdqviz.cli.main", "app", *options], stdout=stream, stderr=stream
        )
    shown = Shown(f"http://127.0.0.1:{port}/{network_page('notebook.py:network')}", process)
    weakref.finalize(process, shutil.rmtree, folder, ignore_errors=True)
    weakref.finalize(shown, _end, process)
    deadline = time.monotonic() + START
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            shown.stop()
            told = log.read_text("utf-8", errors="replace").strip().splitlines()
            raise InputError(f"the app must start, got {told[-1] if told else 'no answer'}")
        time.sleep(0.1)
    if browser:
        import webbrowser

        webbrowser.open(shown.url)
    return shown


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
