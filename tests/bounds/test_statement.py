"""What every statement says of itself, and the texts that prove them."""

import dataclasses
import math
import pathlib
import re

import pytest

from sdqviz.bounds import closed_forms, hypotheses, ladder, layer, network, statement, vector
from sdqviz.frames.harmonic import Harmonic
from sdqviz.frames.walk import Walk


def condition(name="tight", met=True):
    return statement.condition(name, f"{name} is needed", met, f"{name} fails")


def stated(*given, value=1.0):
    return statement.bound("name", "Title", value, given, reference="", text="", formula="f", substituted="g")


def test_the_sentence_is_derived_from_the_hypotheses():
    both = stated(condition("a"), condition("b"))
    assert both.holds and both.because == "All hypotheses hold: a is needed; b is needed."
    failing = stated(condition("a"), condition("b", False), condition("c", False))
    assert not failing.holds and failing.because == "Not applicable: b fails; c fails."
    assert stated().because == "All hypotheses hold: there are none."
    noted = dataclasses.replace(both, note="And more.")
    assert noted.because == f"{both.because} And more." and noted.reason == both.reason
    assert [one.name for one in stated(condition("a"), value=math.inf).hypotheses if not one.met] == ["finite"]


def test_hypotheses_of_a_part_join_to_one():
    joined = statement.together("layer-2", "layer 2", (condition("a"), condition("b", False)))
    assert not joined.met and joined.got == "layer 2: b fails" and joined.needs == "layer 2: a is needed; b is needed"
    assert statement.together("layer-2", "layer 2", (condition("a"),)).got == "layer 2: a is needed"


def test_every_hypothesis_says_what_it_needs_and_what_it_got():
    walk = Walk.of(Harmonic(dimension=4, size=40).build())
    found = (
        *vector.variation_bound_any_start(walk, 0.5, True).hypotheses,
        *vector.variation_bound_zero_sum(walk, 0.5, False).hypotheses,
        *layer.lemma_5_1_harmonic_rounded(walk, [0.5], hypotheses.stability(9.0, 0.5, 1)).hypotheses,
        *layer.lemma_5_1(walk, [0.5], [True, False]).hypotheses,
    )
    assert {one.name for one in found} == {
        "tight",
        "range",
        "start",
        "zero-sum",
        "parity",
        "dimension",
        "harmonic",
        "short",
    }
    assert all(one.needs and one.got and isinstance(one.met, bool) for one in found)


# -- the texts -----------------------------------------------------------------------------------------------

TEXTS = pathlib.Path(__file__).parents[2] / "assets" / "texts"


def test_every_bound_has_its_text():
    sources = [
        pathlib.Path(module.__file__).read_text("utf-8") for module in (vector, layer, network, closed_forms, ladder)
    ]
    used = {slug for source in sources for slug in re.findall(r'text(?:: str)? ?= ?"([a-z-]+)"', source)}
    used |= {slug for source in sources for slug in re.findall(r"proved in our docs: ([a-z-]+)", source)}
    assert {"vector-bound", "spectral-form", "zero-sum", "network-bound", "a-posteriori"} <= used
    assert used | {"biases", "step-rules"} <= {path.stem for path in TEXTS.glob("*.md")}


@pytest.mark.parametrize("path", sorted(TEXTS.glob("*.md")), ids=lambda path: path.stem)
def test_texts_are_complete_markdown(path):
    text = path.read_text("utf-8")
    assert text.startswith("# ") and len(text) > 500
    assert text.count("$$") == len(re.findall(r"^\$\$$", text, flags=re.MULTILINE))  # else shown as inline formulas
    without_displays = re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    assert "$$" not in without_displays
    for paragraph in without_displays.split("\n\n"):
        assert paragraph.count("$") % 2 == 0, paragraph
    for formula in re.findall(r"\$\$(.*?)\$\$|\$([^$]+)\$", text, flags=re.DOTALL):
        body = "".join(formula)
        assert body.count("{") == body.count("}"), body
        assert len(re.findall(r"\\left\b", body)) == len(re.findall(r"\\right\b", body))


@pytest.mark.parametrize(("dimension", "bracket"), [(256, 51.0), (16, 13.5)])
def test_numbers_quoted_in_the_spectral_text(dimension, bracket):
    assert math.pi * math.sqrt(dimension) + 1 == pytest.approx(bracket, rel=0.01)
    if dimension == 256:
        assert 2 * math.pi * math.sqrt((dimension + 1) * (dimension + 2) / 12) + 1 == pytest.approx(468, abs=1)
