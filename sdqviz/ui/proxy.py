"""One port before several processes: each connection is handed on whole to the process its visitor belongs to.

Streamlit keeps a visitor in the memory of one process, so uvicorn's own workers, which take connections as they come,
would lose uploads and downloads. Here the head of the first request on a connection is read for the cookie that each
process gives its visitors; from then on bytes are passed through as they are, WebSockets too. A visitor without the
cookie goes where the fewest connections are.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from sdqviz.strict_json import read_json, write_json

COOKIE = "sdqviz_worker"
"""Names the process a visitor belongs to; HttpOnly, gone when the browser is closed."""

WORKER, ROOMS = "SDQVIZ_WORKER", "SDQVIZ_ROOMS"
"""Environment variables of a process: its number, and the file in which all keep the class rooms."""

HEALTH = "/healthz"

LONGEST_HEAD = 65_536
"""Bytes of the head of a request."""

PATIENCE = 30.0
"""Seconds to wait for the head of a request, or for a process that is being started again."""

_COOKIE = re.compile(rb"(?im)^cookie:.*?\b" + COOKIE.encode() + rb"=(\d{1,3})\b")


@dataclasses.dataclass(eq=False)
class Worker:
    """One process.

    Attributes
    ----------
    number, port : int
        Its number, and where it listens on this computer.
    command : tuple of str
        What starts it.
    connections : int
        How many are open.
    process : Popen or None
        Once it has been started.
    """

    number: int
    port: int
    command: tuple[str, ...] = ()
    connections: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self, rooms: str) -> None:
        """Start it; it ends when this process does, for then its standard input is closed."""
        known = os.environ | {WORKER: str(self.number), ROOMS: rooms}
        self.process = subprocess.Popen(self.command, env=known, stdin=subprocess.PIPE)

    def end(self) -> None:
        """Ask it to end, and wait for that."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    async def health(self) -> dict[str, Any]:
        """Return what it says of itself; an `OSError` or `ValueError` if it does not."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"GET {HEALTH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
        told: dict[str, Any] = read_json(answer.partition(b"\r\n\r\n")[2], "health must be")
        return told


class Proxy:
    """Hands connections on.

    Parameters
    ----------
    workers : sequence of Worker
        The processes.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = list(workers)

    def choose(self, head: bytes) -> Worker:
        """Return the process of a visitor, by the head of a request."""
        found = _COOKIE.search(head)
        if found is not None and int(found[1]) < len(self.workers):
            return self.workers[int(found[1])]
        return min(self.workers, key=lambda one: one.connections)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            if head.startswith(f"GET {HEALTH} ".encode()):
                writer.write(await self._health())
                await writer.drain()
                return
            worker = self.choose(head)
            worker.connections += 1
            try:
                await self._pass(head, reader, writer, worker)
            finally:
                worker.connections -= 1
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the visitor, or the process, has gone: there is nobody to tell
        finally:
            writer.close()

    async def _pass(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, worker: Worker
    ) -> None:
        inner, outer = await self._connect(worker)
        outer.write(head)
        try:
            await _both(_copy(reader, outer), _copy(inner, writer))
        finally:
            outer.close()

    @staticmethod
    async def _connect(worker: Worker) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a process, which may be starting again."""
        waited = 0.0
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", worker.port)
            except OSError:
                if waited > PATIENCE:
                    raise
                waited += 0.25
                await asyncio.sleep(0.25)

    async def _health(self) -> bytes:
        told = await asyncio.gather(*(one.health() for one in self.workers), return_exceptions=True)
        found = [one if isinstance(one, dict) else {"status": "down"} for one in told]
        well = all(one.get("status") == "ok" for one in found)
        content = write_json({"status": "ok" if well else "degraded", "workers": found}).encode()
        return (
            f"HTTP/1.1 {'200 OK' if well else '503 Service Unavailable'}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        ).encode() + content


async def _both(one: Awaitable[None], other: Awaitable[None]) -> None:
    """Wait for either side to end, and let the other say its last words."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    _, late = await asyncio.wait(tasks, timeout=5)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


def serve(address: str, port: int, workers: int, command: Callable[[int], Sequence[str]]) -> None:
    """Serve several processes at one port until Ctrl-C; one that ends is started again.

    Parameters
    ----------
    address, port
        Where to listen.
    workers : int
        How many processes.
    command : callable
        Returns what starts a process that listens at a port of 127.0.0.1.
    """
    made = [Worker(number, free) for number, free in enumerate(free_ports(workers))]
    for one in made:
        one.command = tuple(command(one.port))
    with tempfile.TemporaryDirectory(prefix="sdqviz-") as folder:
        rooms = str(Path(folder) / "rooms.sqlite")
        try:
            asyncio.run(_serve(address, port, made, rooms))
        finally:
            for one in made:
                one.end()


async def _serve(address: str, port: int, workers: list[Worker], rooms: str) -> None:
    ended = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers; Ctrl-C raises there
            asyncio.get_running_loop().add_signal_handler(sign, ended.set)
    for one in workers:
        one.start(rooms)
    server = await asyncio.start_server(Proxy(workers).meet, address, port, limit=LONGEST_HEAD)
    print(f"{len(workers)} processes at http://{address}:{port}", file=sys.stderr)
    while not ended.is_set():
        for one in workers:
            if one.process is not None and one.process.poll() is not None:
                print(f"process {one.number} ended and is started again", file=sys.stderr)
                one.start(rooms)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 1)
    server.close()


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody uses now."""
    with contextlib.ExitStack() as open_ones:
        probes = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
