"""Choices in a real browser: one Back one choice, kept while one is elsewhere, and stale content is dimmed."""

import pytest
from waiting import settled

SIZE = 'input[aria-label="Frame size N, exactly"]'


def shows(page, size):
    page.wait_for_function(f"document.querySelector('{SIZE}')?.value === '{size}'")


@pytest.mark.slow
def test_back_takes_one_choice_and_a_page_is_found_as_it_was_left(tab, server, slider):
    tab.goto(f"{server}/frames")
    settled(tab)
    sizes = [tab.locator(SIZE).input_value()]
    for _ in range(2):
        slider(tab, "Frame size N").press()
        settled(tab)
        sizes.append(tab.locator(SIZE).input_value())
    assert len(set(sizes)) == 3
    for size in (sizes[1], sizes[0]):
        tab.go_back()
        shows(tab, size)
    assert "/frames" in tab.url
    tab.go_forward()
    shows(tab, sizes[1])
    for name in ("ΣΔ Lab", "Frames"):
        tab.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
        tab.locator("h1", has_text=name).wait_for()
        settled(tab)
    shows(tab, sizes[1])
    tab.go_back()
    tab.locator("h1", has_text="ΣΔ Lab").wait_for()
    tab.go_back()
    tab.locator("h1", has_text="Frames").wait_for()
    shows(tab, sizes[1])


@pytest.mark.slow
def test_numbers_of_an_earlier_choice_are_dimmed_until_there_are_new_ones(tab, server):
    tab.goto(f"{server}/network")
    settled(tab)
    faint = "getComputedStyle(document.querySelector('[data-testid=stMetric]')).opacity"
    assert tab.evaluate(faint) == "1"
    method = tab.locator('[data-testid="stSelectbox"]', has_text="Method").locator("input").first
    method.scroll_into_view_if_needed()
    tab.wait_for_timeout(500)
    method.click()
    tab.get_by_role("option", name="GETA (pruning and quantization)", exact=True).click()
    tab.get_by_text("What is drawn faintly below still belongs to").wait_for()
    tab.wait_for_function(f"{faint} === '0.35'")
    method.click()
    tab.get_by_role("option", name="Frame quantization (ΣΔ)", exact=True).click()
    tab.wait_for_function(f"{faint} === '1'")


FAINT = """() => {
  const plots = [...document.querySelectorAll('[data-testid=stElementContainer]:has(.sdqviz-chart)')];
  window.faintest = 1;
  window.faded = 0;
  const look = () => {
    window.faintest = Math.min(window.faintest, ...plots.map(one => Number(getComputedStyle(one).opacity)));
    window.faded += document.getAnimations().filter(one => one.transitionProperty === 'opacity'
      && one.effect.target.dataset.testid === 'stElementContainer').length;
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.mark.slow
def test_what_a_long_run_has_not_reached_is_dimmed_and_no_element_fades_by_itself(tab, server, slider):
    tab.goto(f"{server}/path-following?inputs=512&neurons=4&seeds=2500")
    settled(tab)
    moved = slider(tab, "Neurons")
    moved.press()
    tab.evaluate(FAINT)
    moved.press()
    settled(tab)
    assert tab.evaluate("window.faded") == 0
    assert tab.evaluate("window.faintest") == 0.35
    assert not tab.evaluate("document.body.classList.contains('sdqviz-late')")


@pytest.mark.slow
def test_boxes_show_words_the_address_holds_names_and_back_takes_one_choice(tab, server):
    tab.goto(f"{server}/frames?frame=hadamard&size=64")
    settled(tab)
    family = tab.locator('[data-testid="stSelectbox"]', has_text="Frame").first

    def reads(words):
        tab.wait_for_function(
            "words => document.querySelector('[data-testid=stSidebar]').innerText.includes(words) || "
            "[...document.querySelectorAll('[data-testid=stSelectbox] input')].some(one => one.value === words)",
            arg=words,
        )

    reads("Randomized Hadamard")
    for words, name in (("Half-frequency harmonic", "half-frequency"), ("Random tight", "random")):
        family.locator("input").first.click()
        tab.get_by_role("option", name=words, exact=True).click()
        tab.wait_for_function("name => new URL(location.href).searchParams.get('frame') === name", arg=name)
        settled(tab)
        reads(words)
    tab.go_back()
    reads("Half-frequency harmonic")
    tab.go_back()
    reads("Randomized Hadamard")
    assert "frame=hadamard" in tab.url
    tab.go_forward()
    reads("Half-frequency harmonic")
    tab.reload()
    settled(tab)
    reads("Half-frequency harmonic")
    assert "frame=half-frequency" in tab.url
