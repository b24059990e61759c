"""One server and one browser for all browser tests; they are skipped only where Chromium is not installed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]


def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"))


class Server:
    """The app in a process of its own, on a free port that it keeps when it is started again."""

    def __init__(self, log: Path | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        launch = f"from sdqviz.ui.launch import launch; launch(port={self.port})"
        with (self.log or Path(os.devnull)).open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", launch], stdout=log, stderr=log)
        for _ in range(240):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1):
                break
            if self.process.poll() is not None:
                raise RuntimeError("the server ended at once")
            time.sleep(0.25)

    def memory(self) -> float:
        """Return how much of it is in memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def end(self, sign: int = signal.SIGTERM) -> None:
        """End it, gently or at once."""
        self.process.send_signal(sign)
        self.process.wait(20)


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Start a fresh server on a free port, give its address, and end it."""
    server = Server()
    try:
        server.start()
        yield server.address
    finally:
        server.end()


@pytest.fixture(scope="session")
def server():
    with serve() as address:
        yield address


@pytest.fixture
def fresh_server():
    with serve() as address:
        yield address


@pytest.fixture
def own_server(tmp_path):
    """A fresh server that the test may end and start again; what it prints is kept."""
    server = Server(tmp_path / "server.log")
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser, server):
    """A page whose requests to other hosts are collected in ``tab.off_host``."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.off_host = []
    allowed = (server, server.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(allowed) else page.off_host.append(request.url))
    yield page
    context.close()
