"""Plots stay where they are: what changed is drawn in the same element, what did not is left alone."""

import pytest
from waiting import RESTED

HEARD = """() => { window.redrawn = [];
document.querySelectorAll('.js-plotly-plot').forEach((plot, k) => {
    plot.place = k;
    plot.on('plotly_afterplot', () => window.redrawn.push(k)); }); }"""
SHOWN = """() => [...document.querySelectorAll('.js-plotly-plot')].map(one => [
one.place, one.data.map(trace => trace.y), one.querySelectorAll('.main-svg').length,
one.closest('[role=figure]').ariaLabel])"""


def opened(tab, address, count=1):
    tab.goto(address)
    tab.wait_for_function(f"document.querySelectorAll('.js-plotly-plot').length >= {count}", timeout=60_000)
    tab.wait_for_function(RESTED, timeout=60_000)
    tab.wait_for_timeout(500)


def test_a_slider_changes_plots_in_their_elements_and_leaves_the_others_alone(tab, server, slider):
    opened(tab, f"{server}/sigma-delta?size=48", 6)
    tab.evaluate(HEARD)
    before = tab.evaluate(SHOWN)
    slider(tab, "Frame size N").press()
    after = tab.evaluate(SHOWN)
    assert [one[0] for one in after] == list(range(len(before))), "an element has been mounted anew"
    assert [one[2] for one in after] == [one[2] for one in before], "a plot has been added to what was drawn"
    changed = {k for k, (one, other) in enumerate(zip(before, after, strict=True)) if one[1] != other[1]}
    assert changed and 5 not in changed, "the best order does not depend on N"
    assert set(tab.evaluate("window.redrawn")) == changed
    assert all(one[3] for one in after) and before[1][3] != after[1][3]
    assert tab.off_host == []


def test_a_plot_that_plays_stops_when_its_numbers_change(tab, server, slider):
    opened(tab, f"{server}/sigma-delta?size=48")
    plot = tab.locator(".js-plotly-plot").first
    plot.locator(".updatemenu-button", has_text="Slow").click()
    tab.wait_for_function("document.querySelector('.js-plotly-plot').layout.shapes[0].x0 < 20")
    slider(tab, "Frame size N").press()
    edges = "() => document.querySelector('.js-plotly-plot').layout.shapes.slice(0, 1).map(one => [one.x0, one.x1])[0]"
    now = tab.evaluate(edges)
    assert now[0] == now[1], "all of the new walk is shown"
    tab.wait_for_timeout(1500)
    assert tab.evaluate(edges) == now, "the old walk still moves"


def test_a_plot_follows_its_column_and_fills_the_window(tab, server):
    opened(tab, f"{server}/sigma-delta?size=48")
    plot = tab.locator(".js-plotly-plot").first
    size = "one => [one._fullLayout.width, one._fullLayout.height]"
    wide, high = plot.evaluate(size)
    tab.set_viewport_size({"width": 1100, "height": 900})
    tab.wait_for_function(f"({size})(document.querySelector('.js-plotly-plot'))[0] < {wide - 100}")
    assert plot.evaluate("one => one._fullLayout.width === one.parentElement.clientWidth")

    plot.hover()
    plot.locator(".modebar-btn[data-title=Fullscreen]").click()
    tab.wait_for_function(f"({size})(document.querySelector('.js-plotly-plot')).join() === '1100,900'")
    tab.keyboard.press("Escape")
    tab.wait_for_function(f"({size})(document.querySelector('.js-plotly-plot'))[1] === {high}")
    assert plot.locator(".modebar-btn[data-title=Fullscreen]").count() == 1


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_camera_saves_what_was_chosen(tab, server, kind):
    opened(tab, f"{server}/sigma-delta?size=48&picture={kind}")
    plot = tab.locator(".js-plotly-plot").first
    plot.hover()
    with tab.expect_download() as saved:
        plot.locator(".modebar-btn[data-title^='Download']").click()
    assert saved.value.suggested_filename == f"sdqviz-steps.{kind}"


def test_a_choice_takes_over_the_colours_of_another_theme(browser, server, slider):
    page = browser.new_page(color_scheme="light", viewport={"width": 1400, "height": 1000})
    opened(page, f"{server}/sigma-delta?size=48")
    colour = "document.querySelector('.js-plotly-plot').layout.font.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    moved = slider(page, "Frame size N")
    moved.press()
    moved.press()
    assert page.evaluate(colour) != light and page.locator('[data-testid="stException"]').count() == 0
    page.close()
