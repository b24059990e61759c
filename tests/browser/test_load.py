"""Many visitors at once, each in a browser context of its own: no error, own numbers, bounded memory, and a restart.

``SDQVIZ_LOAD_SECONDS`` says how long they change choices (20 by default; 120 for the figures), and
``SDQVIZ_LOAD_SESSIONS`` how many there are (20) beside the two that run networks. Run with ``-s`` to see the figures.
"""

import asyncio
import dataclasses
import os
import random
import re
import shutil
import signal
import statistics
import sys
import time

import pytest
from waiting import RESTED

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("SDQVIZ_LOAD_SECONDS", "20"))
SESSIONS = int(os.environ.get("SDQVIZ_LOAD_SESSIONS", "20"))

LIGHT = (
    ("sigma-delta", "Frame size N", "dimension={0}&size=60&seed={0}"),
    ("frames", "Frame size N", "size={1}"),
    ("path-following", "Neurons", "seed={0}&neurons=16"),
)
"""Address, slider that is moved, and parameters that make each visitor's numbers their own."""

JOBS = ("size={0}&permutation=two-opt&calibration=64", "network=mnist-lenet&method=gpfq&calibration=512&seed={0}")
"""Runs that take seconds; each is followed by the next, with another number, beside the pages."""

MOST_GROWTH = 700.0
"""MB from when all light pages are open: what is kept of answers has limits of its own, which this is above."""

THINKING = (3.0, 7.0)
"""Seconds between two choices of a visitor. The browser draws for all of them on the cores the server has."""

DOOR = 2
"""Visitors who open their page at the same time; a page is several megabytes of programs for a browser to read."""

WATCH = """() => { window.drawn = performance.now();
    new MutationObserver(seen => {
        if (seen.some(one => one.target.closest?.('[data-testid=stMain]'))) window.drawn = performance.now();
    }).observe(document.body, {childList: true, subtree: true, attributes: true}); }"""
METRICS = "() => [...document.querySelectorAll('[data-testid=stMetricValue]')].map(e => e.innerText)"
NUMBERS = "document.querySelectorAll('[data-testid=stMetricValue]').length === 3"
BUTTON = "[...document.querySelectorAll('button')].some(one => /{}/.test(one.innerText))"
WRONG = '[data-testid="stException"], [data-testid="stDialog"], [data-testid="stConnectionStatus"]'


@dataclasses.dataclass
class Seen:
    """What the visitors met.

    Attributes
    ----------
    numbers : list of (str, list of str)
        Links with their headline numbers: the last of each visitor of a light page, and of every run.
    redraws : list of float
        Milliseconds from a key to the last change on the page.
    runs : int
        Runs of networks that finished.
    wrong : list of str
        Errors of pages, and connections that broke.
    memory : list of float
        Of the server, MB: once a second from when all pages are open.
    """

    numbers: list[tuple[str, list[str]]] = dataclasses.field(default_factory=list)
    redraws: list[float] = dataclasses.field(default_factory=list)
    runs: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)
    memory: list[float] = dataclasses.field(default_factory=list)


async def rested(page, timeout=90_000):
    await page.wait_for_function(
        f"{RESTED} && document.querySelectorAll('.js-plotly-plot .main-svg').length > 0"
        f" && {NUMBERS} && performance.now() - (window.drawn ?? 0) > 150",
        timeout=timeout,
        polling=50,
    )


async def opened(browser, seen):
    """Open a context whose errors are noted."""
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(90_000)
    page.on("pageerror", lambda error: seen.wrong.append(f"{page.url}: {error}"))
    return page


async def checked(page, seen):
    if await page.locator(WRONG).count():
        seen.wrong.append(f"{page.url}: {await page.locator(WRONG).first.inner_text()}")


async def arrived(page, address, number, door):
    """Open a light page, a few visitors at a time."""
    path, _, parameters = LIGHT[number % len(LIGHT)]
    async with door:
        await page.goto(f"{address}/{path}?{parameters.format(2 + number, 100 + 7 * number)}")
        await rested(page)
        await page.evaluate(WATCH)


async def light_visitor(page, number, seen):
    """Move a slider to and fro, as a person does, until the time is over."""
    _, label, _ = LIGHT[number % len(LIGHT)]
    choice = random.Random(number)
    slider = page.locator(f'input[type="range"][aria-label="{label}"]')
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        await asyncio.sleep(choice.uniform(*THINKING))
        before = page.url
        await slider.focus()
        begun = await page.evaluate("() => performance.now()")
        await page.keyboard.press(choice.choice(("ArrowRight", "ArrowRight", "ArrowLeft")))
        await page.wait_for_function("before => location.href !== before", arg=before, polling=20)
        await page.wait_for_function(f"begun => window.drawn > begun && {RESTED}", arg=begun, polling=20)
        await rested(page)
        seen.redraws.append(await page.evaluate("() => window.drawn") - begun)
        await checked(page, seen)
    seen.numbers.append((page.url, await page.evaluate(METRICS)))


async def run_network(page, link):
    """Open the link of a costly run, start it if it waits for that, and return its numbers."""
    await page.goto(link)
    await page.wait_for_function(f"{RESTED} && ({BUTTON.format('Run .about')} || {NUMBERS})", polling=100)
    if await page.evaluate(f"() => {BUTTON.format('Run .about')}"):
        await page.get_by_role("button", name="Run (about").click()
    await page.wait_for_function(
        f"{RESTED} && {NUMBERS} && !{BUTTON.format('Run .about|Cancel')}", timeout=120_000, polling=100
    )
    return await page.evaluate(METRICS)


async def network_visitor(page, address, number, seen):
    """Run one network after the other until the time is over; the last one is waited for."""
    end = time.monotonic() + SECONDS
    value = 2000
    while time.monotonic() < end:
        link = f"{address}/network?{JOBS[number].format(value)}"
        numbers = await run_network(page, link)
        await checked(page, seen)
        seen.numbers.append((link, numbers))
        seen.runs += 1
        value += 1


async def crowd(server, seen):
    """Let everybody in, let them work at the same time, and see them off."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
        )
        pages = [await opened(browser, seen) for _ in range(SESSIONS)]
        door = asyncio.Semaphore(DOOR)
        await asyncio.gather(*(arrived(page, server.address, number, door) for number, page in enumerate(pages)))
        for page in pages:
            page.on("websocket", lambda _: seen.wrong.append("a connection had to be made again"))
        runners = [await opened(browser, seen) for _ in JOBS]
        sampling = asyncio.create_task(sampled(server, seen))
        await asyncio.gather(
            *(light_visitor(page, number, seen) for number, page in enumerate(pages)),
            *(network_visitor(page, server.address, number, seen) for number, page in enumerate(runners)),
        )
        sampling.cancel()
        await browser.close()


async def sampled(server, seen):
    while True:
        seen.memory.append(server.memory())
        await asyncio.sleep(1)


async def alone(server, seen):
    """Open every link alone, one after the other; return the numbers."""
    from playwright.async_api import async_playwright

    found = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=["--no-sandbox"]
        )
        for link, _ in seen.numbers:
            page = await opened(browser, seen)
            if "/network?" in link:
                found.append((link, await run_network(page, link)))
            else:
                await page.goto(link)
                await rested(page)
                found.append((link, await page.evaluate(METRICS)))
            await checked(page, seen)
            await page.context.close()
        await browser.close()
    return found


def test_many_visitors_at_once_and_links_outlive_the_server(own_server, finished):
    """Everybody's last numbers are those that their link gives alone, on a server that knows nothing of them."""
    seen = Seen()
    finished(crowd(own_server, seen))
    memory, time_at_rest = seen.memory, time.monotonic() + 15
    while time.monotonic() < time_at_rest:
        time.sleep(1)
    left = own_server.memory()
    own_server.end(signal.SIGKILL)
    log = own_server.log.read_text()
    own_server.start()
    found = finished(alone(own_server, seen))

    redraws = sorted(seen.redraws)
    print(
        f"\n{SESSIONS} visitors of light pages, {len(JOBS)} of networks for {SECONDS:.0f} s: {len(redraws)} redraws, "
        f"median {statistics.median(redraws):.0f} ms, p90 {redraws[int(0.9 * len(redraws))]:.0f} ms, "
        f"largest {redraws[-1]:.0f} ms; {seen.runs} runs of networks; server {memory[0]:.0f} MB with all pages open, "
        f"{memory[len(memory) // 2]:.0f} MB half-way, at most {max(memory):.0f} MB, {memory[-1]:.0f} MB at the end, "
        f"{left:.0f} MB after they left; load {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
    )
    assert seen.wrong == []
    assert not re.search(r"Traceback|Exception", log), log[-3000:]
    assert len(seen.numbers) == SESSIONS + seen.runs and seen.runs >= len(JOBS)
    assert found == seen.numbers
    assert len({tuple(numbers) for _, numbers in seen.numbers}) > len(seen.numbers) / 2  # they do differ
    assert max(memory) - memory[0] <= MOST_GROWTH
