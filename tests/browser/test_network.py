"""The Network page in a real browser: a cold start, the slider, the click on a bar, Run and Cancel, two visitors."""

import pytest
from playwright.sync_api import expect
from waiting import settled

HEADING = "h1"
PLOT = ".js-plotly-plot .main-svg"
EXACT = 'input[aria-label="Frame size N, exactly"]'


def metrics(page):
    page.wait_for_selector('[data-testid="stMetricValue"]')
    return page.locator('[data-testid="stMetricValue"]').all_inner_texts()


@pytest.mark.slow
def test_cold_server_paints_stored_numbers_first_then_the_run(browser, fresh_server):
    page = browser.new_page()
    page.goto(f"{fresh_server}/network?size=1000&bits=1&v=0.1.0")
    page.wait_for_selector(PLOT)
    shown = metrics(page)
    assert page.inner_text(HEADING) == "Network"
    assert shown == ["4.82", "97.9 %", "13.2 %"]
    page.get_by_text("Test images whose prediction changed").wait_for(timeout=60_000)
    settled(page)
    assert metrics(page) == shown
    assert page.locator('[data-testid="stException"], [data-testid="stDialog"]').count() == 0
    page.close()


@pytest.mark.slow
def test_other_choices_as_first_request_of_a_fresh_server(browser, fresh_server):
    page = browser.new_page()
    page.goto(f"{fresh_server}/network?network=mnist-residual&size=300&bits=2&layer=block2.inner")
    page.get_by_text("block2.inner: weights before and after").wait_for(timeout=60_000)
    page.wait_for_function(f"document.querySelector('{EXACT}')?.value === '300'")  # its default stands there first
    assert "network=mnist-residual" in page.url and "layer=block2.inner" in page.url
    assert page.locator('[data-testid="stException"], [data-testid="stDialog"]').count() == 0
    page.close()


@pytest.mark.slow
def test_a_step_of_the_slider_gives_the_numbers_of_the_library_and_back(tab, server, slider):
    import sdqviz as sq

    tab.goto(f"{server}/network?size=640&calibration=64")
    settled(tab)
    before, moved = metrics(tab), slider(tab, "Frame size N")
    moved.press("ArrowRight")
    expect(tab.locator(EXACT)).not_to_have_value("640")
    size = int(tab.locator(EXACT).input_value())
    report = sq.compress(
        sq.NETWORKS["mnist-fnn"]().load(), sq.METHODS["frame"](size=size, bits=1, step_rule="range-layer"), 64
    ).report
    bits = tab.get_by_test_id("stMetricValue").first
    expect(bits).to_have_text(f"{report.bits_per_weight:.3g}", timeout=30_000)
    assert size > 640 and metrics(tab)[1] == f"{100 * report.accuracy_after:.1f} %"
    moved.press("ArrowLeft")  # the way back is answered from what is kept
    expect(bits).to_have_text(before[0])
    settled(tab)
    assert metrics(tab) == before and tab.off_host == []


@pytest.mark.slow
def test_click_on_a_bar_looks_into_its_layer(tab, server):
    tab.goto(f"{server}/network?size=400&calibration=64")
    settled(tab)
    tab.get_by_text("hidden1: weights before and after").wait_for()
    drawn = tab.locator(".js-plotly-plot").first
    drawn.scroll_into_view_if_needed()
    bar = drawn.locator(".barlayer .point path").nth(1).bounding_box()
    area = drawn.locator(".nsewdrag").bounding_box()
    tab.mouse.click(bar["x"] + bar["width"] / 2, area["y"] + area["height"] - 15)  # bars of a log axis reach far down
    tab.get_by_text("hidden2: weights before and after").wait_for(timeout=20_000)
    assert "layer=hidden2" in tab.url


@pytest.mark.slow
def test_costly_choice_waits_for_run_and_cancel_keeps_the_numbers(tab, server):
    tab.goto(f"{server}/network?size=400&calibration=64")
    settled(tab)
    before = metrics(tab)
    tab.goto(f"{server}/network?size=7000&permutation=two-opt&calibration=64")
    run = tab.get_by_role("button", name="Run (about")
    run.wait_for(timeout=30_000)
    assert tab.locator('[data-testid="stProgress"]').count() == 0
    run.click()
    cancel = tab.get_by_role("button", name="Cancel")
    cancel.wait_for(timeout=20_000)
    cancel.click()
    tab.get_by_text("Cancelled").wait_for()
    assert tab.locator('[data-testid="stProgress"]').count() == 0
    tab.goto(f"{server}/network?size=400&calibration=64")
    settled(tab)
    assert metrics(tab) == before


@pytest.mark.slow
def test_formulas_carry_numbers_and_proof_and_downloads_work(tab, server, tmp_path):
    tab.goto(f"{server}/network?size=400&calibration=64")
    settled(tab)
    title = tab.get_by_text("Proved and measured, layer by layer")
    title.locator("xpath=ancestor::*[@data-testid='stLayoutWrapper'][1]").get_by_role("button").first.click()
    tab.locator('[data-testid="stPopoverBody"] .katex').first.wait_for()
    assert tab.get_by_text("Proof").count() >= 1
    tab.keyboard.press("Escape")
    with tab.expect_download() as waiting:
        tab.get_by_role("button", name="Packed network").click()
    file = tmp_path / "network.sdq"
    waiting.value.save_as(file)
    import sdqviz as sq

    accuracy = 100 * sq.load(file).accuracy()
    assert metrics(tab)[1] == f"{accuracy:.1f} %"


@pytest.mark.slow
def test_two_visitors_have_their_own_numbers(browser, server):
    pages = [browser.new_context().new_page() for _ in range(2)]
    for page, size in zip(pages, (400, 800), strict=True):
        page.goto(f"{server}/network?size={size}&calibration=64")
    for page in pages:
        settled(page)
    assert [metrics(page)[0] for page in pages] == ["1.93", "3.86"]
    for page in pages:
        page.context.close()
