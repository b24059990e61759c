"""Compare in a real browser: a cold start, upload, the brush, A and B by clicks, the report without a network."""

import re

import pytest
from waiting import settled

import sdqviz as sq
from sdqviz.experiments.run import Run, fingerprint, run_key
from sdqviz.experiments.run_file import write_runs

UNUSUAL = 48
"""Calibration inputs no shipped run has, so that these runs are told apart."""


@pytest.fixture(scope="module")
def runs_file(tmp_path_factory):
    """Real runs in a file of a colleague's."""
    choice = sq.NETWORKS["mnist-fnn"]()
    network, weights, found = choice.load(), fingerprint(choice), []
    for name, fields in (
        ("round-to-nearest", {"fit": "mse"}),
        ("gptq", {"fit": "mse"}),
        ("frame", {"redundancy": 1.5}),
    ):
        for bits in (1, 2, 3):
            method = sq.METHODS[name](bits=bits, **fields)
            report = sq.compress(network, method, UNUSUAL).report
            key = run_key(choice.to_dict(), method.to_dict(), UNUSUAL, 0, weights)
            found.append(Run(key, choice.to_dict(), method.to_dict(), UNUSUAL, 0, report, label="colleague"))
    file = tmp_path_factory.mktemp("runs") / "colleague.json.gz"
    write_runs(found, file)
    return file


def metrics(page):
    page.wait_for_selector('[data-testid="stMetricValue"]')
    return page.locator('[data-testid="stMetricValue"]').all_inner_texts()


def imported(page, server, file, more=""):
    """Open the page on the imported runs alone."""
    page.goto(f"{server}/compare?view=Files&text=colleague&seeds=all{more}")
    settled(page)
    page.locator('input[type="file"]').set_input_files(file)
    page.wait_for_function("document.querySelector('[data-testid=stMetricValue]').innerText === '9'")
    settled(page)


def corners(page, axis, low, high):
    """Return where a box over an axis of the parallel coordinates begins and ends, on the screen."""
    plot = page.locator(".js-plotly-plot").nth(1)
    plot.scroll_into_view_if_needed()
    return plot.evaluate(
        """(element, [axis, low, high]) => {
        const {xaxis, yaxis} = element._fullLayout, box = element.getBoundingClientRect();
        const at = (x, y) => [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y)];
        return [at(axis - 0.12, low), at(axis + 0.12, high)]; }""",
        [axis, low, high],
    )


def drag(page, axis, low, high):
    before = page.url
    (left, bottom), (right, top) = corners(page, axis, low, high)
    page.mouse.move(left, bottom)
    page.mouse.down()
    page.mouse.move((left + right) / 2, (bottom + top) / 2, steps=4)
    page.mouse.move(right, top, steps=4)
    page.mouse.up()
    page.wait_for_function("before => location.href !== before", arg=before)
    settled(page)


@pytest.mark.slow
def test_cold_server_paints_the_link_it_is_asked_for(browser, fresh_server):
    page = browser.new_page()
    outside = []
    page.on("request", lambda one: outside.append(one.url) if not one.url.startswith((fresh_server, "data:")) else None)
    page.goto(f"{fresh_server}/compare?loss_axis=error&budget=3.0&methods=frame,gpfq&v=0.2.0")
    settled(page)
    assert page.inner_text("h1") == "Compare" and "methods=frame%2Cgpfq" in page.url and "loss_axis=error" in page.url
    assert page.locator('[data-testid="stException"], [data-testid="stDialog"]').count() == 0
    assert [url for url in outside if url.startswith("http")] == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_narrow_window_in_both_themes(browser, server, scheme, runs_file):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 1000})
    page = context.new_page()
    imported(page, server, runs_file)
    for view in ("Runs", "A against B", "Sweep", "Smallest size"):
        page.get_by_role("tab", name=view).click()
        settled(page)
        width = "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
        assert page.evaluate(width), f"{view} is wider than a window of 900 pixels"
        assert page.locator('[data-testid="stException"]').count() == 0
    colours = page.locator(".js-plotly-plot .svg-container > .main-svg:first-child").evaluate_all(
        "es => es.map(e => getComputedStyle(e).backgroundColor)"
    )
    assert len(colours) >= 2 and set(colours) == {"rgba(0, 0, 0, 0)"}
    context.close()


@pytest.mark.slow
def test_boxes_over_the_axes_are_a_brush_for_table_and_front(tab, server, runs_file):
    imported(tab, server, runs_file)
    drag(tab, 1, -0.03, 0.6)  # the smaller sizes
    first = int(metrics(tab)[0])
    assert 0 < first < 9 and "brush=bits" in tab.url
    drag(tab, 0, 0.5, 1.03)  # the upper methods: boxes are joined
    assert 0 < int(metrics(tab)[0]) < first and "method" in tab.url
    link = tab.url
    tab.get_by_role("button", name="Clear the brush").click()
    tab.wait_for_function("document.querySelector('[data-testid=stMetricValue]').innerText === '9'")
    assert "brush" not in tab.url and "brush" in link
    assert tab.off_host == []


@pytest.mark.slow
def test_a_click_on_a_point_makes_it_a_and_the_former_a_becomes_b(tab, server, runs_file):
    imported(tab, server, runs_file)
    tab.get_by_role("tab", name="A against B").click()
    tab.get_by_text("Error of each layer, A beside B").wait_for()
    settled(tab)
    points = tab.locator(".js-plotly-plot").first.locator(".scatterlayer .trace .points path")
    before = tab.url
    for place in range(points.count()):  # the first that is not A already
        points.nth(place).click(force=True)
        tab.wait_for_timeout(700)
        if tab.url != before:
            break
    settled(tab)
    chosen = re.search(r"[?&]a=([0-9a-f]{12})&b=([0-9a-f]{12})", tab.url)
    assert chosen and chosen[1] != chosen[2]
    letters = tab.locator(".js-plotly-plot").first.locator(".annotation-text").all_text_contents()
    assert {"A", "B"} <= set(letters)


@pytest.mark.slow
def test_the_report_opens_without_a_network_and_draws_its_plots(browser, server, runs_file, tmp_path):
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    imported(page, server, runs_file)
    page.get_by_role("tab", name="A against B").click()
    page.get_by_text("Error of each layer, A beside B").wait_for()
    settled(page)
    shown = metrics(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML report").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    context.close()

    offline = browser.new_context(offline=True, viewport={"width": 1200, "height": 1000})
    report = offline.new_page()
    asked, said = [], []
    report.on("request", lambda one: asked.append(one.url))
    report.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
    report.goto(file.as_uri())
    report.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg .scatterlayer path').length > 20")
    assert asked == [file.as_uri()] and said == []
    assert report.locator(".js-plotly-plot").count() == 4
    assert report.locator(".strip b").all_inner_texts() == shown
    assert report.locator(".barlayer path").count() >= 6
    text = report.inner_text("body")
    assert "What differs" not in text and "A against B, what differs" in text and "gptq" in text
    report.locator("summary", has_text="Formula").first.click()
    assert "is on the front" in report.inner_text("body").replace("\xa0", " ")  # formulas keep their spaces
    offline.close()


@pytest.mark.slow
def test_what_one_visitor_imports_another_does_not_see(browser, server, runs_file):
    pages = [browser.new_context().new_page() for _ in range(2)]
    imported(pages[0], server, runs_file)
    pages[1].goto(f"{server}/compare?text=colleague&seeds=all")
    settled(pages[1])
    assert metrics(pages[1])[0] == "0" and metrics(pages[0])[0] == "9"
    assert pages[1].get_by_text("passes the filters").count() + pages[1].get_by_text("There is no run yet").count() == 1
    for page in pages:
        page.context.close()


@pytest.mark.slow
def test_a_file_that_is_something_else_is_one_sentence(tab, server, tmp_path):
    file = tmp_path / "runs.json"
    file.write_bytes(b"\x80\x04\x95 a pickle")
    tab.goto(f"{server}/compare?view=Files")
    settled(tab)
    tab.locator('input[type="file"]').set_input_files(file)
    tab.get_by_text("file of runs must be one that sdqviz wrote").wait_for()
    assert tab.locator('[data-testid="stException"]').count() == 0
