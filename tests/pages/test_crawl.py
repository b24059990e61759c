"""No control that a page offers leads to an empty page: every option and both ends of every range are tried."""

import itertools
import random

import pytest
from visitor import arrive, charts, press, turn

QUICK = ("sigma-delta", "frames", "path-following", "bounds")
PAGES = (*QUICK, "network", "compare", "geta", "learn", "two-up", "")
SKIPPED = {"picture", "seed", "paper"}
"""Controls without influence on whether there is a picture, or whose every value is as good as another."""

SAMPLE, PAIRS = 4, 50
"""Of a page: choices every day, and random pairs in the long test; where a page offers fewer pairs, all of them."""


def offered(at):
    """Return everything the page offers to choose now, as (kind, key, value)."""
    found = []
    for kind in ("selectbox", "toggle", "slider", "number_input"):
        for control in getattr(at, kind):
            if not control.key or control.key in SKIPPED or control.key.startswith("_") or control.disabled:
                continue
            now = control.value
            if kind == "selectbox":  # by the words it shows, as a visitor does
                values, now = control.options, control.options[control.index]
            elif kind == "toggle":
                values = [True, False]
            else:
                values = [end for end in (control.min, control.max) if end is not None]
            found += [(kind, control.key, value) for value in values if value != now]
    return found


def choose(at, kind, key, value):
    control = next((one for one in getattr(at, kind) if one.key == key), None)
    if control is None or (kind == "selectbox" and value not in control.options):  # another choice has taken it away
        return
    if kind in ("slider", "number_input"):
        value = type(control.value or 0)(value)
    control.set_value(value)
    at.run()


def whole(at, address, *steps):
    assert not at.exception, steps
    assert at.title, steps
    if address != "learn":  # whose cards of questions and words have no picture
        assert charts(at), steps
    assert len(at.markdown) > 1, steps


def reset(at):
    press(at, "Reset")


def crawl(address, chosen):
    at = turn(arrive(seconds=120), address)
    whole(at, address)
    for steps in chosen(offered(at)):
        for step in steps:
            choose(at, *step)
            whole(at, address, *steps)
        reset(at)


@pytest.mark.parametrize("address", QUICK)
def test_a_sample_of_what_a_page_offers_leads_to_no_empty_page(address):
    crawl(address, lambda found: [[step] for step in random.Random(7).sample(found, min(SAMPLE, len(found)))])


@pytest.mark.slow
@pytest.mark.parametrize("address", PAGES)
def test_nothing_a_page_offers_leads_to_an_empty_page(address):
    crawl(address, lambda found: [[step] for step in found])


@pytest.mark.slow
@pytest.mark.parametrize("address", PAGES)
def test_no_pair_of_what_a_page_offers_leads_to_an_empty_page(address):
    def drawn(found):
        pairs = [pair for pair in itertools.combinations(found, 2) if pair[0][:2] != pair[1][:2]]
        return random.Random(11).sample(pairs, min(PAIRS, len(pairs)))

    crawl(address, drawn)
