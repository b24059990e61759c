"""The self-contained report: what is in it, that nothing from outside becomes markup, and formulas as text."""

import base64
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import plotly.graph_objects as go
import pytest

from sdqviz.explore.formula import Formula
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink
from sdqviz.ui import html_report
from sdqviz.ui.html_report import View, formula_text, write
from sdqviz.version import __version__

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def panel(name="errors", text="calm"):
    figure = go.Figure(go.Scatter(x=[1.0, 2.0], y=[3.0, 4.0], name=text, text=[text, text]))
    formula = Formula(r"\frac{a}{b}\le\delta", [(r"\delta", "step", "0.25")], "a source", r"\frac12\le0.25")
    table = {"layer": np.array([text] * 150), "error": np.linspace(0.125, 1, 150), "few": np.array([np.nan])}
    return Panel(name, f"Errors {text}", f"Look at {text}.", f"2 points {text}", figure, [formula], lambda: table)


def view(text="calm", ink=None, link="https://example.org/compare?bits=2"):
    return View(
        f"Compare {text}", f"What? {text}", [("Bits", "2.1", f"note {text}")], [panel("one", text), panel("two", text)],
        {f"Runs {text}": {"key": ["abc", text], "bits": [1.0, None]}}, {"network": text, "bits": 2}, link,
        f"import sdqviz  # {text}", ink or Ink(),
    )  # fmt: skip


class Outline(HTMLParser):
    """Collect the tags with their attributes, and the text outside scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags, self.words, self.inside = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.words.append(data)


def outline(data):
    found = Outline()
    found.feed(data.decode())
    return found


def test_everything_the_page_shows_is_in_the_file():
    data = write(view())
    found = outline(data)
    text = " ".join(found.words)
    for part in ("Compare calm", "What? calm", "2.1", "note calm", "Look at calm.", r"\frac{a}{b}\le\delta",
                 "0.25", "a source", "Runs calm", "network", "import sdqviz", f"sdqviz {__version__}", "numpy",
                 "The first 100 of 150 rows", "LaTeX"):  # fmt: skip
        assert part in text, part
    assert len([tag for tag, _ in found.tags if tag == "table"]) == 4  # two panels, the runs, the choices
    labels = [attributes["aria-label"] for _, attributes in found.tags if "aria-label" in attributes]
    assert labels == ["2 points calm"] * 2


def test_the_library_is_in_it_once_and_nothing_is_loaded():
    data = write(view()).decode()
    assert data.count("plotly.js v") == 1 and data.count("Plotly.newPlot(") >= 2
    found = outline(data.encode())
    for tag, attributes in found.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed"), tag
        assert not (tag == "script" and attributes.get("src")), attributes
        href = attributes.get("href", "")
        assert href.startswith(("data:", "https://example.org/")) or not href


def test_tables_are_embedded_whole():
    (first, *_) = re.findall(r"href='data:text/csv;base64,([^']+)'", write(view()).decode())
    lines = base64.b64decode(first).decode().splitlines()
    assert lines[0] == "layer,error,few" and len(lines) == 151


def test_text_from_outside_stays_text():
    data = write(view(EVIL, link="javascript:alert(3)"))
    found = outline(data)
    clean = outline(write(view()))
    assert sorted({tag for tag, _ in found.tags}) == sorted({tag for tag, _ in clean.tags})
    scripts = [len([tag for tag, _ in one.tags if tag == "script"]) for one in (found, clean)]
    assert scripts[0] == scripts[1]
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert not any(str(value).startswith("javascript") for _, attributes in found.tags for value in attributes.values())


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_has_the_colours_of_the_view(dark):
    ink = Ink(dark=dark)
    data = write(view(ink=ink)).decode()
    assert f"background: {ink.page}" in data and f"color-scheme: {'dark' if dark else 'light'}" in data


def every_formula():
    """Return the LaTeX of every formula, symbol and substitution of four pages."""
    from sdqviz.explore import frames, sigma_delta
    from sdqviz.explore.bounds import link as bounds
    from sdqviz.explore.layer_walks import link as walks
    from sdqviz.explore.orders import orders
    from sdqviz.plots.bounds.curves import draw_curves
    from sdqviz.plots.frames import gram, tour
    from sdqviz.plots.path_following.paths import draw_paths, panels
    from sdqviz.plots.sigma_delta import steps, vector
    from sdqviz.plots.sigma_delta.orders import draw_best

    ink, found = Ink(), frames.build({"dimension": 3, "size": 20})
    schemes = ({}, {"order": 0}, {"order": 2, "bits": 2, "dual": "sobolev", "dimension": 3},
               {"order": 3, "filter": "minimal-support", "dual": "matched"})  # fmt: skip
    runs = [sigma_delta.build(scheme) for scheme in schemes]
    walk = walks.build({"seeds": 20})
    lab = [panel for run in runs for panel in (steps.draw_steps(run, ink), *vector.panels(run, ink))]
    drawn = [*lab, draw_best(orders(runs[0].vector), ink), tour.draw_tour(found, ink),
             gram.draw_gram(found, ink), draw_paths(walk, ink),
             *panels(walk, walks.align({"seeds": 20}), walks.widen({}), ink),
             draw_curves(bounds.build({"draws": 2, "points": 3}), ink)]  # fmt: skip
    for panel in drawn:
        for formula in panel.formulas:
            yield from (formula.latex, formula.substituted, *(symbol for symbol, _, _ in formula.symbols))


def test_every_formula_of_the_pages_is_drawn_by_the_browser():
    for latex in dict.fromkeys(filter(None, every_formula())):
        written = formula_text(latex)
        assert written.startswith("<math") and "\\" not in re.sub(r"<[^>]*>", "", written), latex


@pytest.mark.parametrize("broken", ["{", "}", r"\frac", "^", "\\", "{{{", "_{", r"\sqrt{", r"\begin", r"\tilde", "<b>"])
def test_a_formula_that_is_cut_short_is_shown_as_it_is(broken):
    assert "<b>" not in formula_text(broken)


def test_what_the_page_said_is_in_the_report():
    said = [
        "**Plain rounding wins** :material/balance: by <5 %",
        "**All bounds**\n\n| bound | value |\n|---|---|\n| a\\|b | 2 |",
    ]
    text = write(dataclasses.replace(view(), said=said)).decode()
    assert "<b>Plain rounding wins</b> by &lt;5 %" in text and "<td>a|b</td><td>2</td>" in text
    assert "material" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_nothing_moves_by_itself_and_no_link_leads_to_this_computer():
    text = write(view(link="http://127.0.0.1:8501/frames?size=8")).decode()
    assert "Plotly.animate(" not in re.sub(r"<script>/\*.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert (
        "127.0.0.1" not in text
        and "https://example.org/frames" in write(view(link="https://example.org/frames?size=8")).decode()
    )


def test_values_without_a_number_are_a_dash():
    assert [html_report.cell(value) for value in (None, float("nan"), np.float64(0.5), np.True_, "a<b")] == [
        "–", "–", "0.5", "True", "a&lt;b",
    ]  # fmt: skip
