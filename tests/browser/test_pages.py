"""The pages in a real browser: first paint, links, speed of a slider, stepping, isolation, nothing off this machine."""

import legible
import pytest
from waiting import settled

import sdqviz as sq

PAGES = ("", "sigma-delta", "frames", "path-following", "learn?lesson=small-step&card=2")
HEADING = "h1"
PLOT = ".js-plotly-plot .main-svg"
WIDE_ENOUGH = "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
MOST_SENT = 300_000
"""Bytes of one change."""


def metrics(page):
    page.wait_for_selector('[data-testid="stMetricValue"]')
    return page.locator('[data-testid="stMetricValue"]').all_inner_texts()


def linked(page, size):
    """Wait until the box of N shows a size: for a moment it shows its default before what the link gives."""
    page.wait_for_function(
        "size => document.querySelector('input[aria-label=\"Frame size N, exactly\"]')?.value === size", arg=size
    )


def test_deep_link_is_the_first_request_of_a_fresh_server(browser, fresh_server):
    page = browser.new_page()
    page.goto(f"{fresh_server}/sigma-delta?dimension=4&size=40&bits=2&seed=5&v={sq.__version__}")
    page.wait_for_selector(PLOT)
    assert page.inner_text(HEADING) == "ΣΔ Lab"
    linked(page, "40")
    assert metrics(page)[0] == "28"  # 40·2/4 for the levels and 32/4 for the step
    assert page.locator('[data-testid="stDialog"], [data-testid="stAlert"], [data-testid="stException"]').count() == 0
    page.close()


def test_what_draws_plots_is_fetched_once_before_the_server_is_asked(tab, server):
    """In time, for a plot that arrives later waits for nothing; and the browser takes what the page has named."""
    seen = []
    tab.on("request", lambda one: seen.append(one.url.rpartition("/")[2]))
    tab.on("websocket", lambda _: seen.append("websocket"))
    tab.goto(f"{server}/sigma-delta")
    tab.wait_for_selector(PLOT)
    for script in ("plotly.js", "chart.js", "BidiComponent."):
        (place,) = (place for place, name in enumerate(seen) if name.startswith(script))
        assert place < seen.index("websocket")


INSIDE = """(() => {
  const right = e => e.getBoundingClientRect().right;
  return [...document.querySelectorAll('[data-testid=stMain] table')].every(
    e => right(e) <= right(e.closest('[data-testid=stElementContainer]')) + 1);
})()"""
"""Whether tables end where their column does; one that is wider is scrolled."""

CUT = "[...document.querySelectorAll('[data-testid=stMetricValue] *')].some(e => e.scrollWidth > e.clientWidth + 1)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("link", "plots", "third"),
    [
        ("bounds?subject=layer&sweep=bits&columns=8&draws=2&seed=5", 3, "0 in "),
        ("path-following?operator=quantize&bits=3&scaling=2&seed=5", 8, "Yes"),
    ],
)
def test_a_link_gives_the_same_numbers_twice_light_and_dark(browser, fresh_server, link, plots, third):
    numbers = []
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 900, "height": 1000}, color_scheme=scheme)
        page = context.new_page()
        outside = []
        page.on("request", lambda one, seen=outside: seen.append(one.url) if "127.0.0.1" not in one.url else None)
        page.goto(f"{fresh_server}/{link}")
        page.wait_for_function(f"document.querySelectorAll('{PLOT}').length >= {plots}", timeout=90_000)
        settled(page)
        numbers.append(metrics(page))
        assert page.locator('[data-testid="stException"]').count() == 0
        assert [url for url in outside if url.startswith("http")] == []
        page.wait_for_function(WIDE_ENOUGH)  # no wider than a window of 900 pixels; plots take their width in a moment
        assert not page.evaluate(CUT), "a headline is cut off at 900 pixels"
        assert page.evaluate(INSIDE), "a table sticks out of its column at 900 pixels"
        context.close()
    assert numbers[0] == numbers[1] and len(numbers[0]) == 3 and numbers[0][2].startswith(third)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_page_is_drawn_legible_and_without_error_or_outside_request(browser, server, path, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 1000})
    page = context.new_page()
    outside = []
    allowed = (server, server.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(allowed) else outside.append(request.url))
    page.goto(f"{server}/{path}")
    settled(page)
    assert page.locator('[data-testid="stException"]').count() == 0
    assert outside == []
    page.wait_for_function(WIDE_ENOUGH)  # no wider than a window of 900 pixels; plots take their width in a moment
    assert not page.evaluate(CUT), "a headline is cut off at 900 pixels"
    backgrounds = page.locator(".js-plotly-plot .main-svg .bg").evaluate_all("es => es.map(e => e.style.fillOpacity)")
    assert all(float(opacity or 1) == 0 for opacity in backgrounds), "a plot has a box of its own colour"
    legible.check(page)
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["network", "geta", "bounds", "compare", "two-up"])
def test_no_headline_is_cut_off_at_900_pixels(browser, server, path):
    page = browser.new_page(viewport={"width": 900, "height": 1000})
    page.goto(f"{server}/{path}")
    settled(page)
    assert len(metrics(page)) >= 3 and not page.evaluate(CUT)
    page.close()


@pytest.mark.parametrize(
    ("link", "label"),
    [
        ("sigma-delta?size=48", "Frame size N"),
        pytest.param("frames?size=48", "Frame size N", marks=pytest.mark.slow),
        pytest.param("path-following", "Neurons", marks=pytest.mark.slow),
        pytest.param("bounds?subject=vector&dimension=5", "Dimension d", marks=pytest.mark.slow),
        pytest.param("bounds?subject=layer&columns=10", "Columns", marks=pytest.mark.slow),
        pytest.param("bounds?subject=path&sweep=step&inputs=40", "Inputs N", marks=pytest.mark.slow),
    ],
)
def test_a_step_of_a_slider_gives_other_numbers_and_sends_little(tab, server, slider, link, label):
    sent = []
    tab.on("websocket", lambda socket: socket.on("framereceived", lambda data: sent.append(len(data))))
    tab.goto(f"{server}/{link}")
    settled(tab)
    tab.wait_for_timeout(500)
    moved = slider(tab, label)
    sent.clear()
    moved.press()
    assert 0 < sum(sent) <= MOST_SENT
    assert tab.locator('[data-testid="stException"]').count() == 0 and tab.off_host == []


def test_drag_and_play_need_no_server(tab, server):
    tab.goto(f"{server}/sigma-delta?scrub=size")
    settled(tab)
    tab.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'")
    dragged, plot = tab.locator(".js-plotly-plot").first, tab.locator(".js-plotly-plot").nth(1)
    assert plot.locator("text", has_text="Play or Step").count() == 1
    tab.context.set_offline(True)

    place = dragged.locator(".slider-rail-touch-rect")
    place.hover(position={"x": 10, "y": 5})  # once it has stopped moving
    tab.mouse.down()
    rail, shown = place.bounding_box(), "gd => [gd.innerText, gd.querySelectorAll('path.js-line')[1].getAttribute('d')]"
    seen = [dragged.evaluate(shown)]
    for share in (0.4, 0.6, 0.95):  # the button stays down: it follows while it is dragged
        tab.mouse.move(rail["x"] + share * rail["width"], rail["y"] + 5)
        tab.wait_for_function(
            f"([old]) => {{ const now = ({shown})(document.querySelector('.js-plotly-plot'));"
            " return now[0] !== old[0] && now[1] !== old[1]; }",
            arg=[seen[-1]],
            polling=100,
        )
        seen.append(dragged.evaluate(shown))
    tab.mouse.up()

    def told(step):
        tab.wait_for_function(
            f"[...document.querySelectorAll('text')].some(e => e.textContent.startsWith('n = {step}:'))"
        )

    for step in (1, 2, 3):
        plot.locator(".updatemenu-button", has_text="Step").click()
        told(step)
    plot.locator(".updatemenu-button", has_text="Play").click()
    told(6)
    tab.context.set_offline(False)


@pytest.mark.slow
def test_bad_values_of_a_link_are_told(tab, server):
    tab.goto(f"{server}/frames?size=abc&frame=nonsense&colour=blue")
    settled(tab)
    notice = tab.locator('[data-testid="stAlert"]').inner_text()
    assert "size must be a whole number, got 'abc'" in notice
    assert "frame must be one of" in notice and "colour is not a control" in notice


@pytest.mark.slow
def test_two_sessions_do_not_touch_each_other(browser, server):
    pages = [browser.new_context().new_page() for _ in range(2)]
    for page, size in zip(pages, (32, 64), strict=True):
        page.goto(f"{server}/sigma-delta?size={size}&dimension=8")
    for page in pages:
        settled(page)
    assert [metrics(page)[0] for page in pages] == ["8", "12"]
    for page in pages:
        page.context.close()


@pytest.mark.slow
def test_reset_and_preset_take_one_click(tab, server):
    tab.goto(f"{server}/sigma-delta?size=100")
    settled(tab)
    linked(tab, "100")
    tab.get_by_test_id("stButton").get_by_role("button", name="Reset").click()
    linked(tab, "64")
    presets = tab.locator('[data-testid="stSelectbox"]', has_text="Preset").locator("input")
    presets.scroll_into_view_if_needed()  # a list that opens while the sidebar scrolls closes at once
    tab.wait_for_timeout(500)
    presets.click()
    tab.get_by_role("option", name="Noise shaping").click()
    linked(tab, "1024")
    assert "size=1024" in tab.url


@pytest.mark.slow
def test_tile_on_start_opens_the_example(tab, server):
    tab.goto(server)
    settled(tab)
    tab.get_by_text("A walk in the plane", exact=True).click()
    tab.locator(HEADING, has_text="ΣΔ Lab").wait_for()
    tab.wait_for_selector(PLOT)
    tab.get_by_text("The walk in the plane", exact=True).wait_for()
    assert tab.locator('[data-testid="stAlert"]').count() == 0


@pytest.mark.slow
def test_copy_link_copies_and_says_so(browser, server):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{server}/frames?size=77")
    settled(page)
    button = page.get_by_role("button", name="Copy link")
    button.click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"{server}/frames?") and "size=77" in copied and "seed=0" in copied
    context.close()
