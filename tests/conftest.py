"""What many tests share: how the suite runs in parallel, path following written out, made runs, drawn networks."""

import asyncio
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from sdqviz.kernels import draws

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]


settings.register_profile("compiled", deadline=None)  # the first example of a law may compile what it is about
settings.load_profile("compiled")


def pytest_xdist_auto_num_workers(config):
    """Run the whole suite in two to four processes, and what is named on the command line in this one alone."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes inherit it: they share the cores already
    return min(max(2, os.cpu_count() or 1), 4)  # each takes up to two gigabytes


def pytest_make_parametrize_id(config, val, argname):
    """Name a file's content by its place: its bytes may hold the time, and every process must find the same tests."""
    return argname if isinstance(val, (bytes, bytearray, memoryview)) else None


def pytest_collection_modifyitems(items):
    """Mark the browser tests, and start with them: one process runs them all, so nothing waits for them at the end."""
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"))
    items.sort(key=lambda item: "browser" not in item.path.parts)  # stable: the rest keeps its order


def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests in one process, and files that share what is costly: a browser, finished runs."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            shared = (one for one in ("tests/browser/", "tests/experiments/test_sweep") if nodeid.startswith(one))
            return next(shared, None) or super()._split_scope(nodeid)

    return Scheduling(config, log)


class Server:
    """The app in a process of its own, on a free port that it keeps when it is started again."""

    def __init__(self, log: Path | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.before = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        launch = f"{self.before}\nfrom sdqviz.ui.launch import launch; launch(port={self.port})"
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


@pytest.fixture
def finished():
    """Run a coroutine in a thread of its own: this one may have a loop of Playwright's already."""
    with ThreadPoolExecutor(1) as thread:
        yield lambda work: thread.submit(asyncio.run, work).result()


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


class Slider:
    """A slider of an open page that has the focus.

    Parameters
    ----------
    tab : playwright.sync_api.Page
        The page.
    label : str
        What the slider is called.
    """

    TEXT = "document.querySelector('[data-testid=stMain]').innerText"

    def __init__(self, tab, label: str) -> None:
        self.tab = tab
        tab.locator(f'[role="slider"][aria-label="{label}"], input[type="range"][aria-label="{label}"]').first.focus()
        tab.evaluate(
            """() => { window.drawn = [];
            new MutationObserver(seen => {
                if (seen.some(one => one.target.closest?.('[data-testid=stMain]')))
                    window.drawn.push(performance.now());
            }).observe(document.body, {childList: true, subtree: true, attributes: true}); }"""
        )

    def press(self, key: str = "ArrowRight") -> float:
        """Press a key, wait until the page says something else and rests, return the ms to what was drawn last."""
        before = self.tab.evaluate(self.TEXT)
        begun = self.tab.evaluate("() => { window.drawn = []; return performance.now(); }")
        self.tab.keyboard.press(key)
        self.tab.wait_for_function(
            f"""before => window.drawn.length && performance.now() - window.drawn.at(-1) > 200
                && {self.TEXT} !== before""",
            arg=before,
            timeout=30_000,
            polling=20,
        )
        return self.tab.evaluate("() => window.drawn.at(-1)") - begun


@pytest.fixture(scope="session")
def slider():
    return Slider


class NaivePath:
    """The recursions of SPFQ and the unified framework for inputs X, X̃ (m, N) and weights (N, M)."""

    @staticmethod
    def align(original, inputs, weights, order=1):
        squares = (inputs**2).sum(axis=0)
        state, aligned = np.zeros((len(inputs), weights.shape[1])), np.zeros_like(weights)
        for t in range(len(weights)):
            state += np.outer(original[:, t], weights[t])
            if squares[t] > 0:
                aligned[t] = inputs[:, t] @ state / squares[t]
            state -= np.outer(inputs[:, t], aligned[t])
        for _ in range(order - 1):
            for t in range(len(weights)):
                state += np.outer(inputs[:, t], aligned[t])
                if squares[t] > 0:
                    aligned[t] = inputs[:, t] @ state / squares[t]
                state -= np.outer(inputs[:, t], aligned[t])
        return aligned

    @staticmethod
    def quantize(inputs, aligned, quantizer, grid, keys, scaling=1.0):
        """Return q, and ‖ũ_t‖² after every step."""
        squares = (inputs**2).sum(axis=0)
        state, quantized = np.zeros((len(inputs), aligned.shape[1])), np.zeros_like(aligned)
        norms = np.empty_like(aligned)
        for t in range(len(aligned)):
            if squares[t] > 0:
                values = aligned[t] + inputs[:, t] @ state / (scaling * squares[t])
                quantized[t] = quantizer.apply(values, grid, draws.uniforms(keys, t))
            state += np.outer(inputs[:, t], aligned[t] - quantized[t])
            norms[t] = (state**2).sum(axis=0)
        return quantized, norms


@pytest.fixture(scope="session")
def naive():
    return NaivePath


@pytest.fixture(scope="session")
def made_run():
    """Return a function that makes a run with given figures, for what sorts, filters and draws runs."""
    import dataclasses

    from sdqviz.experiments.run import Run, run_key
    from sdqviz.report import LayerReport, Report

    def filled(cls, **given):
        kinds = {"float": 0.0, "int": 0, "str": "", "bool": False}
        values = {}
        for item in dataclasses.fields(cls):
            kind, _, optional = str(item.type).partition(" | ")
            values[item.name] = given.get(item.name, None if optional else kinds.get(kind, ()))
        return cls(**values)

    def make(method="gpfq", bits=2.0, accuracy=0.9, error=0.1, seed=0, network="mnist-fnn", layers=(), **more):
        choice = {"name": method} | more.pop("choices", {"bits": 2})
        problem = more.pop("problem", "")
        where = {"name": network, "seed": more.pop("network_seed", seed)}
        label = more.pop("label", "")
        rows = tuple(
            filled(LayerReport, **({"kind": "Linear", "shape": (4, 8), "weights": 32, "step": 0.1} | row))
            for row in layers
        )
        report = None
        if not problem:
            figures = {
                "network": network, "seed": seed, "method": choice, "layers": rows, "accuracy_before": 0.98,
                "accuracy_after": accuracy, "relative_output_error": error, "bits_per_weight": bits,
                "bytes": int(1000 * bits), "original_bytes": 32000, "seconds": 0.5, "version": "0.2.0",
            }  # fmt: skip
            report = filled(Report, **(figures | more))
        key = run_key(where, choice, 64, seed, f"{bits} {accuracy} {error} {sorted(more)}")
        return Run(key, where, choice, 64, seed, report, problem, 1.0, "0.2.0", label)

    return make


@pytest.fixture(scope="session")
def draw_parameters():
    """Return a function that draws all parameters and statistics of a module: none stays at its start, 0 or 1."""
    import torch
    from torch import nn

    def draw(module, seed=0):
        generator = torch.Generator().manual_seed(seed)
        scaling = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm
        with torch.no_grad():
            for part in module.modules():
                for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
                    if tensor is None or not tensor.is_floating_point():
                        continue
                    if "var" in name:
                        tensor.uniform_(0.5, 1.5, generator=generator)
                    elif tensor.ndim < 2:
                        tensor.normal_(float(isinstance(part, scaling) and name == "weight"), 0.3, generator=generator)
                    else:
                        tensor.normal_(0, (1.5 / tensor[0].numel()) ** 0.5, generator=generator)
        return module.eval()

    return draw


class Visitor:
    """A visitor without a browser: speaks with the server as the page does, over a WebSocket.

    Parameters
    ----------
    address : str
        Of the server, ``http://…``.
    cookie : str
        What the browser would send.
    """

    def __init__(self, address: str, cookie: str = "") -> None:
        self.address, self.cookie = address, cookie
        self.widgets: dict[str, object] = {}
        self.values: dict[str, object] = {}
        self.texts: list[str] = []
        self.page = self.query = ""

    async def open(self, page: str, query: str = "") -> float:
        """Open a page; return the seconds until it was whole."""
        from websockets.asyncio.client import connect

        self.page, self.query = page, query
        self.socket = await connect(
            f"{self.address.replace('http', 'ws')}/_stcore/stream", subprotocols=["streamlit"], max_size=None,
            additional_headers={"Cookie": self.cookie} if self.cookie else {}, open_timeout=60, ping_timeout=None,
        )  # fmt: skip
        return await self.run()

    async def close(self) -> None:
        await self.socket.close()

    async def set(self, label: str, value: object, field: str = "double_value") -> float:
        """Give the control of that label a value (``field`` of its state); return the seconds until the answer."""
        kept = self.values
        if not field.startswith("trigger"):
            kept[self.widgets[label].id] = (field, value)
        return await self.run({**kept, self.widgets[label].id: (field, value)})

    async def run(self, values: dict[str, tuple[str, object]] | None = None) -> float:
        """Let the page's script run; return the seconds until the last word."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_name = self.query, self.page
        state.context_info.url = f"{self.address}/{self.page}"
        for name, (field, value) in (self.values if values is None else values).items():
            widget = state.widget_states.widgets.add(id=name)
            if field.endswith("array_value"):
                getattr(widget, field).data.extend(value)
            else:
                setattr(widget, field, value)
        begun = time.monotonic()
        await self.socket.send(message.SerializeToString())
        self.texts = []
        while True:
            found = ForwardMsg()
            found.ParseFromString(await self.socket.recv())
            kind = found.WhichOneof("type")
            if kind == "delta" and found.delta.WhichOneof("type") == "new_element":
                self._see(found.delta.new_element)
            elif kind == "page_info_changed":
                self.query = found.page_info_changed.query_string
            elif kind == "script_finished" and found.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return time.monotonic() - begun

    def _see(self, element: object) -> None:
        kind = element.WhichOneof("type")
        shown = getattr(element, kind)
        if hasattr(shown, "label") and hasattr(shown, "id"):
            self.widgets[shown.label] = shown
        if kind == "exception":
            self.texts.append(f"{shown.type}: {shown.message}")
        self.texts.append(str(getattr(shown, "body", "")))


@pytest.fixture(scope="session")
def visitor():
    return Visitor
