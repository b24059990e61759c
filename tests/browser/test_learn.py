"""Lessons in a real browser: a curve is drawn in one stroke by finger, moved by keys, kept, and guessed."""

import pytest
from waiting import settled

STATED = "points => points.map(point => Number(point.getAttribute('aria-valuenow')))"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_curve_is_drawn_by_dragging_and_by_keys(browser, server, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    page = context.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{server}/learn?lesson=noise-shaping")
    sheet = page.locator(".sketch")
    sheet.wait_for()
    page.get_by_text("So far: -5 at 0.05").wait_for()
    settled(page, 0)  # what comes late moves the sheet from where its points were
    sheet.scroll_into_view_if_needed()
    sliders = sheet.locator("[role=slider]")
    points = [point.bounding_box() for point in sliders.all()]
    assert sliders.evaluate_all(STATED) == [-5] * 5
    level = points[0]["y"] + points[0]["height"] / 2
    page.mouse.move(points[0]["x"] + 9, level + 60)
    page.mouse.down()
    for k, point in enumerate(points):  # one stroke from low to high, through all of them
        page.mouse.move(point["x"] + 9, level + 60 - 30 * k, steps=4)
    page.mouse.up()
    drawn = sliders.evaluate_all(STATED)
    assert drawn == sorted(drawn) and drawn[0] < -5 < drawn[4], "the points went where the finger was"
    page.get_by_text(f"So far: {drawn[0]:g} at 0.05").wait_for()
    last = sliders.last
    last.focus()
    page.keyboard.press("End")
    page.get_by_text("20 at 0.45").wait_for()
    page.keyboard.press("ArrowDown")
    page.get_by_text("19 at 0.45").wait_for()
    assert last.evaluate("one => one.getRootNode().activeElement === one"), "the point keeps the keyboard"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="This is my guess").click()
    page.get_by_text("From the lowest third of the frequencies").first.wait_for()
    assert not wrong
    context.close()
