"""The Bounds page in a real browser: a sweep with Cancel, formulas and the table."""

import pytest
from waiting import settled


@pytest.mark.slow
def test_a_network_sweep_waits_shows_progress_and_is_cancelled(tab, server):
    tab.goto(f"{server}/bounds?subject=network&size_to=4000&points=12&nets=3&paper=none")
    run = tab.get_by_role("button", name="Run (about")
    run.wait_for(timeout=30_000)
    assert tab.locator('[data-testid="stProgress"]').count() == 0
    run.click()
    cancel = tab.get_by_role("button", name="Cancel")
    cancel.wait_for(timeout=30_000)
    cancel.click()
    tab.get_by_text("Cancelled").wait_for(timeout=10_000)
    assert tab.locator('[data-testid="stProgress"]').count() == 0
    assert tab.locator('[data-testid="stException"]').count() == 0


@pytest.mark.slow
def test_formulas_carry_numbers_and_the_table_downloads(tab, server, tmp_path):
    tab.goto(f"{server}/bounds?draws=3")
    settled(tab, 3)
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
