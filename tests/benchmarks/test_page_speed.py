"""How long a visitor waits, in a real browser (``-m slow -s`` shows the figures): first paint, sliders, Run, Cancel.

The aims stand beside the figures. Other work on the machine only ever adds, so the load is printed too.
"""

import os
import statistics
import time

import pytest
from waiting import RESTED

pytestmark = pytest.mark.slow

PLOT = ".js-plotly-plot .main-svg"


def load():
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def opened(tab, address):
    tab.goto(address)
    tab.wait_for_selector(PLOT, timeout=60_000)
    tab.wait_for_function(RESTED, timeout=60_000)
    tab.wait_for_timeout(1000)


@pytest.mark.parametrize(
    "link", ["", "sigma-delta", "frames", "path-following", "network", "geta", "bounds", "compare"]
)
def test_first_paint_of_a_fresh_server(browser, fresh_server, link):
    page = browser.new_page()
    begun = time.perf_counter()
    page.goto(f"{fresh_server}/{link}")
    page.wait_for_selector("h1", timeout=60_000)
    heading = time.perf_counter() - begun
    page.wait_for_selector(PLOT, timeout=60_000)
    figure = time.perf_counter() - begun
    print(f"\n{link or 'start'}, cold: heading {heading:.2f} s (aim 3), first figure {figure:.2f} s (aim 4), {load()}")
    page.close()


@pytest.mark.parametrize(
    ("link", "label", "aim"),
    [
        ("sigma-delta?size=48", "Frame size N", 350),
        ("frames?size=48", "Frame size N", 350),
        ("path-following", "Neurons", 450),
        ("bounds?subject=vector&dimension=5", "Dimension d", 350),
        ("bounds?subject=layer&columns=10", "Columns", 350),
        ("bounds?subject=path&sweep=step&inputs=40", "Inputs N", 350),
    ],
)
def test_from_a_slider_to_the_last_plot(tab, server, slider, link, label, aim):
    """Eight steps nobody has asked for."""
    opened(tab, f"{server}/{link}")
    moved = slider(tab, label)
    times = [moved.press() for _ in range(8)]
    print(f"\n{link}: from the key to all plots, median {statistics.median(times):.0f} ms (aim {aim}), "
          f"{min(times):.0f} to {max(times):.0f}, {load()}")  # fmt: skip


@pytest.mark.parametrize(("network", "aim"), [("mnist-fnn", 1), ("mnist-residual", 1), ("mnist-lenet", 3)])
def test_from_a_slider_to_the_numbers_of_a_network(tab, server, network, aim):
    """From the key press to the new headline numbers: compressed, measured, tested on 10,000 images."""
    opened(tab, f"{server}/network?network={network}&size=640&calibration=512")
    tab.locator('input[type="range"][aria-label="Frame size N"]').focus()
    new, kept = [], []
    for press in range(10):
        values = tab.locator('[data-testid="stMetricValue"]')
        before, begun = values.first.inner_text(), time.perf_counter()
        tab.keyboard.press("ArrowRight" if press < 5 else "ArrowLeft")  # the way back is answered from what is kept
        tab.wait_for_function(
            """before => { const now = document.querySelectorAll('[data-testid=stMetricValue]');
            return now.length === 3 && now[0].innerText !== before; }""",
            arg=before,
            timeout=60_000,
            polling=20,
        )
        (new if press < 5 else kept).append(time.perf_counter() - begun)
        tab.wait_for_function(RESTED, timeout=60_000)
    told = ", ".join(f"{word} {min(times):.2f} to {max(times):.2f} s" for word, times in (("new", new), ("kept", kept)))
    print(f"\n{network}: headline numbers after a change: {told} (aim {aim}), {load()}")


@pytest.mark.parametrize(
    "link",
    [
        "network?size=7000&permutation=two-opt&calibration=64",
        "bounds?subject=network&size_to=4000&points=12&nets=3&paper=none",
    ],
)
def test_from_cancel_to_an_idle_page(tab, server, link):
    tab.goto(f"{server}/{link}")
    tab.get_by_role("button", name="Run (about").click(timeout=60_000)
    cancel = tab.get_by_role("button", name="Cancel")
    cancel.wait_for(timeout=60_000)
    begun = time.perf_counter()
    cancel.click()
    tab.get_by_text("Cancelled").wait_for(timeout=60_000)
    print(f"\n{link}: idle {time.perf_counter() - begun:.2f} s after Cancel (aim 2), {load()}")
