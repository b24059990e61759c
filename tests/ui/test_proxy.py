"""Several processes behind one port: who goes where, what is passed through, and what is said of their health."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from sdqviz.ui import launch, proxy
from sdqviz.ui.proxy import Proxy, Worker


@contextlib.asynccontextmanager
async def inner(number):
    """Serve as a process would, in a few lines: its number, or every byte it is sent once it has been asked to."""

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/healthz" in head:
            told = json.dumps({"status": "ok", "number": number}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))
        elif b"Upgrade" in head:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            while data := await reader.read(1000):
                writer.write(bytes([number]) + data)
                await writer.drain()
        else:
            writer.write(b"%d" % number)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Worker(number, server.sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def house(count):
    async with contextlib.AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(inner(number)) for number in range(count)]
        server = await asyncio.start_server(Proxy(workers).meet, "127.0.0.1", 0, limit=proxy.LONGEST_HEAD)
        await stack.enter_async_context(server)
        yield workers, server.sockets[0].getsockname()[1]


async def ask(port, head, body=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + b"\r\n\r\n" + body)
    found = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return found


def test_a_visitor_comes_back_to_the_process_whose_cookie_is_held(finished):
    async def visit():
        async with house(3) as (_, port):
            found = []
            for cookie in (
                "sdqviz_worker=2",
                "a=1; sdqviz_worker=1; b=2",
                "sdqviz_worker=0",
                "sdqviz_worker=77",
                "x=2",
            ):
                head = f"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}"
                found.append([await ask(port, head) for _ in range(3)])
            return found

    assert finished(visit()) == [[b"2"] * 3, [b"1"] * 3, [b"0"] * 3, [b"0"] * 3, [b"0"] * 3]


def test_a_new_visitor_goes_where_the_fewest_are_and_a_websocket_is_passed_through_both_ways(finished):
    async def visit():
        async with house(3) as (workers, port):
            met = []
            for _ in range(7):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /stream HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")
                met.append((reader, writer))
            counts = sorted(one.connections for one in workers)
            said = []
            for _, writer in met:
                writer.write(bytes(range(256)))
            for reader, _ in met:
                said.append(await reader.readexactly(257))
            for _, writer in met:
                writer.close()
            for _ in range(100):
                if not any(one.connections for one in workers):
                    break
                await asyncio.sleep(0.05)
            return counts, said, [one.connections for one in workers]

    counts, said, left = finished(visit())
    assert counts == [2, 2, 3] and left == [0, 0, 0]
    assert sorted(one[0] for one in said) == [0, 0, 0, 1, 1, 2, 2] and all(one[1:] == bytes(range(256)) for one in said)


def test_health_is_that_of_every_process(finished):
    async def visit():
        async with house(2) as (workers, port):
            well = await ask(port, "GET /healthz HTTP/1.1")
            workers[1].port = 1  # where nobody listens
            ill = await ask(port, "GET /healthz HTTP/1.1")
            return well, ill

    well, ill = finished(visit())
    assert well.startswith(b"HTTP/1.1 200 OK") and ill.startswith(b"HTTP/1.1 503 ")
    told = json.loads(ill.partition(b"\r\n\r\n")[2])
    assert told == {"status": "degraded", "workers": [{"status": "ok", "number": 0}, {"status": "down"}]}


def test_a_head_without_end_and_a_visitor_who_leaves_harm_nobody(finished):
    async def visit():
        async with house(1) as (_, port):
            silly = await ask(port, "GET / HTTP/1.1\r\nX: " + 70_000 * "x")
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET")
            writer.close()
            return silly, await ask(port, "GET / HTTP/1.1\r\nHost: localhost")

    assert finished(visit()) == (b"", b"0")


def test_a_process_gives_its_cookie_once_and_leaves_websockets_alone(finished):
    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def ask_app(scope):
        sent = []

        async def send(message):
            sent.append(message)

        await launch.Sticky(answer, "3")(scope, None, send)
        return sent[0]["headers"]

    new = finished(ask_app({"type": "http", "headers": []}))
    assert new == [(b"a", b"b"), (b"set-cookie", b"sdqviz_worker=3; Path=/; HttpOnly; SameSite=Lax")]
    for scope in ({"type": "http", "headers": [(b"cookie", b"x=1; sdqviz_worker=3")]}, {"type": "websocket"}):
        assert finished(ask_app(scope)) == [(b"a", b"b")]
    assert launch.Sticky not in [one.cls for one in launch.middleware()]


@pytest.mark.slow
def test_two_processes_serve_one_class_and_a_dead_one_comes_back(visitor, finished):
    port = proxy.free_ports(1)[0]
    command = [sys.executable, "-m", "sdqviz.cli.main", "app", "--port", str(port), "--workers", "2", "--no-browser"]
    served = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def health():
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def until(wanted):
        for _ in range(240):
            if health()[0] == wanted:
                return
            time.sleep(0.25)
        raise AssertionError(health())

    def children():
        return [int(n) for n in Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split()]

    async def lesson():
        """A lecturer on the first process, students on both."""
        lecturer = visitor(address, "sdqviz_worker=0")
        await lecturer.open("learn")
        await lecturer.set("Word of the new room", "calm-walk-22", "string_value")
        await lecturer.set("Open the room", True, "trigger_value")
        students = [visitor(address, f"sdqviz_worker={number % 2}") for number in range(6)]
        for number, student in enumerate(students):
            await student.open("learn", "class=calm-walk-22")
            label = next(name for name in student.widgets if "δ" in name)
            await student.set(label, [float(number + 1)], "double_array_value")
            await student.set("Send my guess", True, "trigger_value")
        told = health()[1]
        await lecturer.set("Reveal", True, "trigger_value")
        await asyncio.gather(*(student.run() for student in students))
        seen = [" ".join(student.texts) for student in students]
        for one in (lecturer, *students):
            await one.close()
        return told, seen

    try:
        until(200)
        for number in (0, 1):
            request = urllib.request.Request(address, headers={"Cookie": f"sdqviz_worker={1 - number}"})
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200 and "set-cookie" not in answer.headers
        told, seen = finished(lesson())
        assert [one["visitors"] for one in told["workers"]] == [4, 3]
        assert all(f"You guessed {k + 1}; it is" in text and "6 guesses" in text for k, text in enumerate(seen))
        os.kill(children()[0], signal.SIGKILL)
        until(503)
        until(200)
    finally:
        started = children()
        served.send_signal(signal.SIGTERM)
        assert served.wait(30) == 0
    assert len(started) == 2 and not [n for n in started if Path(f"/proc/{n}").exists()]
