"""The GETA page in a real browser: a cold start, the slider without the server, training with Cancel and Resume."""

import pytest
from playwright import sync_api
from waiting import settled

BRIEF = (
    "view=trained+here&network=mnist-fnn&batch=8&warm_up_steps=2&projection_steps=5&projection_periods=2"
    "&joint_steps=6&pruning_periods=2&cool_down_steps="
)
METRICS = '[data-testid="stMetricValue"]'
DOTS = """() => { const data = document.querySelector('.js-plotly-plot').data;
    return JSON.stringify([...data.at(-2).x]); }"""


def reading(page):
    return page.locator(".js-plotly-plot").first.locator("text", has_text="step ").first.text_content()


@pytest.mark.slow
def test_cold_server_paints_a_recorded_run(browser, fresh_server):
    page = browser.new_page()
    outside = []
    page.on("request", lambda one: outside.append(one.url) if "127.0.0.1" not in one.url else None)
    page.goto(f"{fresh_server}/geta")
    settled(page, 2)
    assert page.inner_text("h1") == "GETA" and page.locator(METRICS).count() == 3
    assert page.locator('[data-testid="stException"], [data-testid="stDialog"]').count() == 0
    assert [url for url in outside if url.startswith("http")] == []
    page.close()


def test_the_slider_moves_the_marker_and_every_layers_bits_without_the_server(tab, server):
    tab.goto(f"{server}/geta")
    settled(tab, 2)
    last, dots = reading(tab), tab.evaluate(DOTS)
    tab.context.set_offline(True)
    rail = tab.locator(".js-plotly-plot .slider-rail-touch-rect").first
    rail.scroll_into_view_if_needed()
    box = rail.bounding_box()
    rail.click(position={"x": 0.1 * box["width"], "y": box["height"] / 2}, force=True)
    tab.wait_for_function(f"before => ({DOTS})() !== before", arg=dots)
    assert reading(tab) != last
    before = tab.evaluate(DOTS)
    tab.locator(".updatemenu-button").first.click()
    tab.wait_for_function(f"before => ({DOTS})() !== before", arg=before)
    tab.context.set_offline(False)
    assert tab.off_host == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_window_in_both_themes(browser, server, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 1000})
    page = context.new_page()
    page.goto(f"{server}/geta")
    settled(page, 2)
    width = "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
    assert page.evaluate(width)
    backgrounds = page.locator(".js-plotly-plot .main-svg .bg").evaluate_all("es => es.map(e => e.style.fillOpacity)")
    assert all(float(opacity or 1) == 0 for opacity in backgrounds)
    context.close()


@pytest.mark.slow
def test_training_is_live_and_can_be_stopped_and_resumed(tab, server):
    tab.goto(f"{server}/geta?{BRIEF}5000")
    settled(tab, 2)
    tab.get_by_role("button", name="Run (").click()
    tab.get_by_text("Accuracy so far").wait_for(timeout=90_000)
    first = reading(tab)
    tab.wait_for_function(
        """before => ![...document.querySelectorAll('.js-plotly-plot text')].some(e => e.textContent === before)""",
        arg=first,
        timeout=60_000,
    )
    tab.get_by_role("button", name="Cancel").click()
    tab.get_by_role("button", name="Resume").wait_for(timeout=20_000)
    settled(tab, 2)
    assert "Stopped after" in tab.inner_text('[data-testid="stMain"]')
    tab.get_by_role("button", name="Resume").click()
    tab.get_by_role("button", name="Resume").wait_for(state="hidden", timeout=20_000)
    tab.get_by_role("button", name="Cancel").click()
    tab.get_by_role("button", name="Resume").wait_for(timeout=20_000)
    assert tab.locator('[data-testid="stException"]').count() == 0


@pytest.mark.slow
def test_a_finished_run_can_be_downloaded_and_looked_at_again(tab, server, tmp_path):
    tab.goto(f"{server}/geta?{BRIEF}3&seed=11")
    settled(tab, 2)
    tab.get_by_role("button", name="Run (").click()
    tab.get_by_text("Finished in").wait_for(timeout=120_000)
    settled(tab, 2)
    # the smaller network first: its button waits for the end of the run, and stands after that of the recording
    for name, ending in (("Smaller network, .sdq", "sdq"), ("Recording, json.gz", "json.gz")):
        with tab.expect_download() as waiting:
            tab.get_by_role("button", name=name).click()
        waiting.value.save_as(tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").stat().st_size > 1000
    settled(tab, 2)
    shown = tab.locator(METRICS).all_inner_texts()
    tab.goto(f"{server}/geta?view=uploaded")
    settled(tab, 2)
    tab.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(tmp_path / "x.json.gz")
    tab.get_by_text("x.json.gz").wait_for(timeout=60_000)
    sync_api.expect(tab.locator(METRICS)).to_have_text(shown, use_inner_text=True, timeout=60_000)
    (tmp_path / "bad.json.gz").write_bytes(b"no recording")
    tab.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(tmp_path / "bad.json.gz")
    tab.get_by_text("bad.json.gz must be a recording").wait_for(timeout=30_000)
    assert tab.locator('[data-testid="stException"]').count() == 0
