"""Path following in a real browser: a link as the first request, and the time from a slider to the last plot."""

import os
import statistics
import sys

METRICS = "[...document.querySelectorAll('[data-testid=stMetricValue]')].map(e => e.innerText)"
TEXT = "document.querySelector('[data-testid=stMain]').innerText"


def settled(page):
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 8")
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")


def test_a_link_is_the_first_request_of_a_fresh_server(browser, fresh_server):
    numbers = []
    for _ in range(2):
        context = browser.new_context(viewport={"width": 1000, "height": 1000})
        page = context.new_page()
        outside = []
        page.on("request", lambda one, seen=outside: seen.append(one.url) if "127.0.0.1" not in one.url else None)
        page.goto(f"{fresh_server}/path-following?operator=quantize&bits=3&scaling=2&seed=5")
        settled(page)
        numbers.append(page.evaluate(METRICS))
        assert page.locator('[data-testid="stException"]').count() == 0
        assert [url for url in outside if url.startswith("http")] == []
        width = "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
        assert page.evaluate(width)
        context.close()
    assert numbers[0] == numbers[1] and len(numbers[0]) == 3 and numbers[0][2] == "Yes"


def test_slider_to_redrawn_plots_within_half_a_second(tab, server):
    """From the key press to the last plot drawn anew, over twelve new numbers of neurons."""
    tab.goto(f"{server}/path-following")
    settled(tab)
    tab.wait_for_timeout(1500)
    tab.locator('[role="slider"][aria-label="Neurons"], input[type="range"][aria-label="Neurons"]').first.focus()
    tab.evaluate(
        """() => { window.drawn = [];
        new MutationObserver(seen => {
            if (seen.some(one => one.target.closest?.('[data-testid=stMain]'))) window.drawn.push(performance.now());
        }).observe(document.body, {childList: true, subtree: true, attributes: true}); }"""
    )
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # other work on the machine only ever adds
    medians = []
    while len(medians) < 3 and not (medians and medians[-1] <= 500):
        medians.append(statistics.median(_press(tab) for _ in range(12)))
    print(f"\nslider to all plots redrawn, medians {[round(m) for m in medians]} ms, load {busy:.1f}", file=sys.stderr)
    assert min(medians) <= 500 * busy


def _press(tab):
    before = tab.evaluate(TEXT)
    begun = tab.evaluate("() => { window.drawn = []; return performance.now(); }")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function(
        f"""before => window.drawn.length && performance.now() - window.drawn.at(-1) > 200
            && {TEXT} !== before""",
        arg=before,
        timeout=20_000,
        polling=20,
    )
    return tab.evaluate("() => window.drawn.at(-1)") - begun
