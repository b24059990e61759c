"""The Bounds page in a real browser: a cold link, the time from a slider to the last plot, a sweep with Cancel."""

import os
import statistics
import sys
import time

METRICS = "[...document.querySelectorAll('[data-testid=stMetricValue]')].map(e => e.innerText)"
TEXT = "document.querySelector('[data-testid=stMain]').innerText"


def settled(page, plots=3):
    page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot').length >= {plots}")
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")


def test_a_link_is_the_first_request_of_a_fresh_server(browser, fresh_server):
    numbers = []
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 900, "height": 1000}, color_scheme=scheme)
        page = context.new_page()
        outside = []
        page.on("request", lambda one, seen=outside: seen.append(one.url) if "127.0.0.1" not in one.url else None)
        begun = time.perf_counter()
        page.goto(f"{fresh_server}/bounds?subject=layer&sweep=bits&columns=8&draws=2&seed=5")
        page.wait_for_selector("h1")
        heading = time.perf_counter() - begun
        settled(page)
        figure = time.perf_counter() - begun
        print(f"\n{scheme}: heading after {heading:.2f} s, all figures after {figure:.2f} s", file=sys.stderr)
        numbers.append(page.evaluate(METRICS))
        assert page.locator('[data-testid="stException"]').count() == 0
        assert [url for url in outside if url.startswith("http")] == []
        assert page.evaluate(
            "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
        )
        cut = (
            "[...document.querySelectorAll('[data-testid=stMetricValue] *')]"
            ".some(e => e.scrollWidth > e.clientWidth + 1)"
        )
        assert not page.evaluate(cut), "a headline is cut off at 900 pixels"
        context.close()
    assert numbers[0] == numbers[1] and len(numbers[0]) == 3 and numbers[0][2].startswith("0 in ")


def redraws(tab, label, keys):
    """Press keys on a slider; return the milliseconds from each press to the last plot drawn anew."""
    tab.wait_for_timeout(800)
    tab.locator(f'[role="slider"][aria-label="{label}"], input[type="range"][aria-label="{label}"]').first.focus()
    tab.evaluate(
        """() => { window.drawn = [];
        new MutationObserver(seen => {
            if (seen.some(one => one.target.closest?.('[data-testid=stMain]'))) window.drawn.push(performance.now());
        }).observe(document.body, {childList: true, subtree: true, attributes: true}); }"""
    )
    return [_press(tab, key) for key in keys]


def _press(tab, key):
    before = tab.evaluate(TEXT)
    begun = tab.evaluate("() => { window.drawn = []; return performance.now(); }")
    tab.keyboard.press(key)
    tab.wait_for_function(
        f"""before => window.drawn.length && performance.now() - window.drawn.at(-1) > 200
            && {TEXT} !== before""",
        arg=before,
        timeout=20_000,
        polling=20,
    )
    return tab.evaluate("() => window.drawn.at(-1)") - begun


def test_slider_to_redrawn_plots_within_half_a_second(tab, server):
    """From the key press to the last plot drawn anew; every press is a sweep of nine points nobody has asked for."""
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # other work on the machine only ever adds
    found = {}
    for link, label in (
        ("subject=vector&dimension=5", "Dimension d"),
        ("subject=layer&columns=10", "Columns"),
        ("subject=path&sweep=step&inputs=40", "Inputs N"),
    ):
        tab.goto(f"{server}/bounds?{link}")
        settled(tab)
        medians = []
        while len(medians) < 2 and not (medians and medians[-1] <= 500):
            medians.append(statistics.median(redraws(tab, label, ["ArrowRight"] * 4)))
        found[link] = min(medians)
    told = ", ".join(f"{link} {value:.0f}" for link, value in found.items())
    print(f"\nslider to all plots redrawn, medians in ms: {told}, load {busy:.1f}", file=sys.stderr)
    assert max(found.values()) <= 500 * busy


def test_a_network_sweep_waits_shows_progress_and_is_cancelled(tab, server):
    tab.goto(f"{server}/bounds?subject=network&size_to=4000&points=12&nets=3&paper=none")
    run = tab.get_by_role("button", name="Run (about")
    run.wait_for(timeout=30_000)
    assert tab.locator('[data-testid="stProgress"]').count() == 0
    run.click()
    cancel = tab.get_by_role("button", name="Cancel")
    cancel.wait_for(timeout=30_000)
    begun = time.perf_counter()
    cancel.click()
    tab.get_by_text("Cancelled").wait_for(timeout=10_000)
    assert time.perf_counter() - begun <= 2
    assert tab.locator('[data-testid="stProgress"]').count() == 0
    assert tab.locator('[data-testid="stException"]').count() == 0


def test_formulas_carry_numbers_and_the_table_downloads(tab, server, tmp_path):
    tab.goto(f"{server}/bounds?draws=3")
    settled(tab)
    title = tab.get_by_text("Bound and measured against frame size N")
    title.locator("xpath=ancestor::*[@data-testid='stLayoutWrapper'][1]").get_by_role("button").first.click()
    tab.locator('[data-testid="stPopoverBody"] .katex').first.wait_for()
    tab.keyboard.press("Escape")
    title.locator("xpath=ancestor::*[@data-testid='stLayoutWrapper'][1]").get_by_role("button").nth(1).click()
    with tab.expect_download() as waiting:
        tab.get_by_role("button", name="CSV, all data").click()
    file = tmp_path / "curves.csv"
    waiting.value.save_as(file)
    header = file.read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("size,bits_per_original_weight,measured_median") and "spectral applies" in header
