"""A class on one machine: thirty light visitors and two who run networks, without browsers; memory falls afterwards.

``SDQVIZ_CLASS_SECONDS`` says how long (20 by default; 120 for the figures). What the server does minutes after
the last visitor has left it is told to do after seconds, unless ``SDQVIZ_CLASS_LEAVING`` gives it 300. Run with ``-s``
to see the figures.
"""

import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("SDQVIZ_CLASS_SECONDS", "20"))
LEAVING = float(os.environ.get("SDQVIZ_CLASS_LEAVING", "20"))
VISITORS = int(os.environ.get("SDQVIZ_CLASS_VISITORS", "30"))

LIGHT = (
    ("sigma-delta", "Frame size N, exactly", "dimension={0}&size=60&seed={0}"),
    ("frames", "Frame size N, exactly", "size={1}"),
    ("path-following", "Seed", "seed={0}&neurons=16"),
)
"""Address, control that is changed, and parameters that make each visitor's numbers their own."""

JOBS = ("size={0}&permutation=two-opt&calibration=64", "network=mnist-lenet&method=gpfq&calibration=512&seed={0}")

MOST_GROWTH, MOST_LEFT = 700.0, 250.0
"""MB above the server that is warm and has not been visited, at most: while they work, and after they have left.

Warm: torch, the kernels and one network are read at its start, whoever comes.
"""

SLOWEST = 1.0
"""Seconds in which nine of ten answers are whole, where nothing else runs on the machine."""

SOON = """
from sdqviz.ui import housekeeping, launch
housekeeping.EVERY, housekeeping.BETWEEN, housekeeping.QUIET = 2.0, 2.0, 5.0
launch.AFTER_THE_FIRST = 0.0
launch.CONFIG["server.disconnectedSessionTTL"] = 5
"""


class Class:
    """The visitors of one server, and what they met."""

    def __init__(self, server, visitor):
        self.server, self.visitor = server, visitor
        self.here, self.waits, self.memory, self.wrong, self.runs = 0, [], [], [], 0

    async def light(self, number, door):
        path, label, query = LIGHT[number % len(LIGHT)]
        one, choice = self.visitor(self.server.address), random.Random(number)
        async with door:
            await one.open(path, query.format(2 + number, 100 + 7 * number))
        self.here += 1
        await self.everybody()
        value, end = one.widgets[label].default, time.monotonic() + SECONDS
        while time.monotonic() < end:
            await asyncio.sleep(choice.uniform(3, 7))
            value += choice.choice((1, 1, -1))
            self.waits.append(await one.set(label, value))
            self.wrong += [text for text in one.texts if "Error:" in text]
        await one.close()

    async def everybody(self):
        while self.here < VISITORS:
            await asyncio.sleep(0.1)
        if not self.memory:
            self.memory.append(self.server.memory())

    async def network(self, number):
        await self.everybody()
        end, value = time.monotonic() + SECONDS, 2000
        while time.monotonic() < end:
            one = self.visitor(self.server.address)
            await one.open("network", JOBS[number].format(value))
            run = next((label for label in one.widgets if label.startswith("Run (about")), None)
            if run is not None:
                await one.set(run, True, "trigger_value")
            while one.widgets.pop("Cancel", None) is not None:
                await asyncio.sleep(0.5)
                await one.run()
            self.runs, value = self.runs + 1, value + 1
            await one.close()

    async def lesson(self):
        door = asyncio.Semaphore(4)

        async def sampled():
            while True:
                await asyncio.sleep(0.5)
                if self.memory:
                    self.memory.append(self.server.memory())

        sampling = asyncio.create_task(sampled())
        await asyncio.gather(
            *(self.light(number, door) for number in range(VISITORS)), *(self.network(k) for k in range(len(JOBS)))
        )
        sampling.cancel()


def warm(address):
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/healthz", timeout=30) as answer:
        return json.load(answer)["warm"]
    return False


def processor(process):
    """Return the seconds of processor that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_class_on_one_machine(own_server, visitor, finished):
    if LEAVING < 300:
        own_server.end()
        own_server.before = SOON
        own_server.start()
    for _ in range(600):
        if warm(own_server.address):
            break
        time.sleep(0.2)
    load, seen, before = os.getloadavg()[0], Class(own_server, visitor), own_server.memory()
    spent = processor(own_server.process.pid)
    finished(seen.lesson())
    spent = processor(own_server.process.pid) - spent
    time.sleep(LEAVING)
    left, waits = own_server.memory(), sorted(seen.waits)
    slowest = waits[int(0.9 * len(waits))]
    print(
        f"\n{VISITORS} light visitors and {len(JOBS)} of networks for {SECONDS:.0f} s: {len(waits)} answers, median "
        f"{statistics.median(waits):.2f} s, p90 {slowest:.2f} s; {seen.runs} runs of networks; server "
        f"{before:.0f} MB before, {seen.memory[0]:.0f} MB with all pages open, at most {max(seen.memory):.0f} MB, "
        f"{left:.0f} MB {LEAVING:.0f} s after they left; {spent:.0f} s of processor, runs of networks and "
        "opening included; "
        f"load before {load:.1f}",
        file=sys.stderr,
    )
    assert seen.wrong == [] and seen.runs >= len(JOBS)
    assert max(seen.memory) - before <= MOST_GROWTH
    assert left - before <= MOST_LEFT
    if load < 0.5:  # what waits for others is no answer's fault
        assert slowest <= SLOWEST
