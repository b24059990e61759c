"""The toy in a real browser: a drawing is read, an emptied one is a sentence, a tile is a link as a whole."""

import pytest

HEADING = "h1"
PLOT = ".js-plotly-plot .main-svg"


@pytest.mark.slow
def test_draw_clear_pick_and_open_an_example_on_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(server)
    page.wait_for_selector(PLOT)
    wide = "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
    assert page.evaluate(wide), "the page is wider than a phone"
    sheet = page.locator(".pad > canvas")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.15 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.85 * box["height"], steps=8)
    page.mouse.up()
    page.get_by_text("as it was trained reads a 1").or_(page.get_by_text("copies read a 1")).wait_for()
    assert "digit=drawn" in page.url
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Drawing must hold some ink").wait_for()
    page.get_by_role("button", name="test digit 4, read rightly by every copy").click()
    page.get_by_text("The picture is a 4.").wait_for()
    picture = page.locator('[class*="st-key-_tile"] img').first
    picture.evaluate("one => one.scrollIntoView({block: 'center'})")
    picture.click(force=True)  # what lies above it is the link of the whole tile
    page.locator(HEADING, has_text="ΣΔ Lab").wait_for()
    context.close()
