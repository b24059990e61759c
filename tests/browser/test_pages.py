"""The pages in a real browser: first paint, links, speed of a slider, stepping, isolation, nothing off this machine."""

import os
import statistics
import sys
import time

import pytest

import sdqviz as sq

PAGES = ("", "sigma-delta", "frames")
HEADING = "h1"
PLOT = ".js-plotly-plot .main-svg"


def metrics(page):
    page.wait_for_selector('[data-testid="stMetricValue"]')
    return page.locator('[data-testid="stMetricValue"]').all_inner_texts()


def settled(page):
    page.wait_for_selector(PLOT)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")


def test_deep_link_is_the_first_request_of_a_fresh_server(browser, fresh_server):
    page = browser.new_page()
    begun = time.perf_counter()
    page.goto(f"{fresh_server}/sigma-delta?dimension=4&size=40&bits=2&seed=5&v={sq.__version__}")
    page.wait_for_selector(HEADING)
    heading = time.perf_counter() - begun
    page.wait_for_selector(PLOT)
    figure = time.perf_counter() - begun
    print(f"\ncold server: heading after {heading:.2f} s, first figure after {figure:.2f} s", file=sys.stderr)
    assert page.inner_text(HEADING) == "ΣΔ Lab"
    assert page.locator('input[aria-label="Frame size N, exactly"]').input_value() == "40"
    assert metrics(page)[0] == "28"  # 40·2/4 for the levels and 32/4 for the step
    assert page.locator('[data-testid="stDialog"], [data-testid="stAlert"], [data-testid="stException"]').count() == 0
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_page_is_drawn_without_error_or_outside_request(browser, server, path, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 1000})
    page = context.new_page()
    outside = []
    allowed = (server, server.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(allowed) else outside.append(request.url))
    page.goto(f"{server}/{path}")
    settled(page)
    assert page.locator('[data-testid="stException"]').count() == 0
    assert outside == []
    width = "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
    assert page.evaluate(width), "the page is wider than a window of 900 pixels"
    backgrounds = page.locator(".js-plotly-plot .main-svg .bg").evaluate_all("es => es.map(e => e.style.fillOpacity)")
    assert all(float(opacity or 1) == 0 for opacity in backgrounds), "a plot has a box of its own colour"
    context.close()


@pytest.mark.parametrize("path", ["sigma-delta", "frames"])
def test_slider_to_redrawn_plot_within_half_a_second(tab, server, path):
    """From the key press to the last plot drawn anew, over sixteen steps of N."""
    tab.goto(f"{server}/{path}?size=48")
    settled(tab)
    tab.wait_for_timeout(1500)
    tab.locator('input[type="range"][aria-label="Frame size N"]').focus()
    tab.evaluate(
        """() => { window.drawn = [];
        new MutationObserver(seen => {
            if (seen.some(one => one.target.closest?.('[data-testid=stMain]'))) window.drawn.push(performance.now());
        }).observe(document.body, {childList: true, subtree: true, attributes: true}); }"""
    )
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # other work on the machine only ever adds
    limit, medians = 500 * busy, []
    while len(medians) < 3 and not (medians and medians[-1] <= 500):
        medians.append(statistics.median(press(tab, "ArrowRight" if k < 8 else "ArrowLeft") for k in range(16)))
    print(
        f"\n{path}: slider to all plots redrawn, medians {[round(m) for m in medians]} ms, load {busy:.1f}",
        file=sys.stderr,
    )
    assert min(medians) <= limit


def press(tab, key):
    """Press a key on the focused slider; return the milliseconds until the last plot has been redrawn."""
    before = metrics(tab)
    begun = tab.evaluate("() => { window.drawn = []; return performance.now(); }")
    tab.keyboard.press(key)
    tab.wait_for_function(
        """before => {
        const now = [...document.querySelectorAll('[data-testid=stMetricValue]')].map(e => e.innerText);
        return window.drawn.length && JSON.stringify(now) !== JSON.stringify(before)
            && performance.now() - window.drawn.at(-1) > 150; }""",
        arg=before,
        timeout=20_000,
        polling=20,
    )
    return tab.evaluate("() => window.drawn.at(-1)") - begun


def test_play_moves_the_cursor_without_the_server(tab, server):
    tab.goto(f"{server}/sigma-delta")
    settled(tab)
    reading = tab.locator(".js-plotly-plot").first.locator("text", has_text="press play")
    assert reading.count() == 1
    tab.context.set_offline(True)
    tab.locator(".updatemenu-button").first.click()
    tab.wait_for_function("[...document.querySelectorAll('text')].some(e => e.textContent.startsWith('n = 5:'))")
    tab.context.set_offline(False)


def test_bad_values_of_a_link_are_told(tab, server):
    tab.goto(f"{server}/frames?size=abc&frame=nonsense&colour=blue")
    settled(tab)
    notice = tab.locator('[data-testid="stAlert"]').inner_text()
    assert "size must be a whole number, got 'abc'" in notice
    assert "frame must be one of" in notice and "colour is not a control" in notice


def test_two_sessions_do_not_touch_each_other(browser, server):
    pages = [browser.new_context().new_page() for _ in range(2)]
    for page, size in zip(pages, (32, 64), strict=True):
        page.goto(f"{server}/sigma-delta?size={size}&dimension=8")
    for page in pages:
        settled(page)
    assert [metrics(page)[0] for page in pages] == ["8", "12"]
    for page in pages:
        page.context.close()


def test_reset_and_preset_take_one_click(tab, server):
    tab.goto(f"{server}/sigma-delta?size=100")
    settled(tab)
    exact = tab.locator('input[aria-label="Frame size N, exactly"]')
    assert exact.input_value() == "100"
    tab.get_by_test_id("stButton").get_by_role("button", name="Reset").click()
    tab.wait_for_function("document.querySelector('input[aria-label=\"Frame size N, exactly\"]').value === '64'")
    presets = tab.locator('[data-testid="stSelectbox"]', has_text="Preset").locator("input")
    presets.scroll_into_view_if_needed()  # a list that opens while the sidebar scrolls closes at once
    tab.wait_for_timeout(500)
    presets.click()
    tab.get_by_role("option", name="Noise shaping").click()
    tab.wait_for_function("document.querySelector('input[aria-label=\"Frame size N, exactly\"]').value === '1024'")
    assert "size=1024" in tab.url


def test_tile_on_start_opens_the_example(tab, server):
    tab.goto(server)
    settled(tab)
    tab.get_by_text("A walk in the plane", exact=True).click()
    tab.locator(HEADING, has_text="ΣΔ Lab").wait_for()
    tab.wait_for_selector(PLOT)
    tab.get_by_text("The walk in the plane", exact=True).wait_for()
    assert tab.locator('[data-testid="stAlert"]').count() == 0
