"""A visitor without a browser: goes to the pages by the menu or a link, turns what is there, reads what is shown."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from sdqviz.asset import ROOT
from sdqviz.ui import chart
from sdqviz.ui.launch import MAIN

HEAVY = ("torch", "torchvision", "scipy.stats", "networkx", "dask", "joblib", "pandas")
"""What a page loads only where it needs it."""


def fresh(context, seconds):
    at = AppTest.from_file(MAIN, default_timeout=seconds)
    at.context.update(context or {})
    return at


def arrive(context=None, seconds=60.0):
    """Open the program in a fresh session; a run of a page may take so many seconds."""
    return fresh(context, seconds).run()


def asked(at, parameters):
    """Put the values of a link in the address."""
    at.query_params.clear()
    at.query_params.update({key: json.dumps(v) if isinstance(v, bool) else str(v) for key, v in parameters.items()})


def turn(at, address, /, **parameters):
    """Go to a page by the menu, or by a link where parameters are given."""
    at.switch_page(str(ROOT / "pages" / f"{(address or 'start').replace('-', '_')}.py"))
    asked(at, parameters)
    at.run()
    assert not at.exception
    return at


def visit(address="", context=None, /, **parameters):
    """Open a page by its link in a fresh session."""
    at = fresh(context, 60.0)
    at._page_hash = calc_hash(address)  # `switch_page` only finds a page by its address once another has been run
    asked(at, parameters)
    at.run()
    assert not at.exception
    return at


def numbers(at):
    """Return the headline numbers."""
    return [metric.value for metric in at.metric]


def metrics(at):
    """Return the headline numbers by what they are called."""
    return {metric.label: metric.value for metric in at.metric}


def charts(at):
    """Return what is sent to draw each picture: ``id``, ``spec`` (JSON), ``config``, ``alt``."""
    sent = [one.proto for one in at.get("bidi_component") if one.proto.component_name == chart.NAME]
    return [_chart(one.id, json.loads(one.bytes)) for one in sent]


def _chart(name, told):
    spec = json.dumps(told.pop("figure"), separators=(",", ":"), ensure_ascii=False)
    return SimpleNamespace(id=name, spec=spec, **told)


def figures(at):
    """Return each picture as Plotly's dictionary."""
    return [json.loads(one.spec) for one in charts(at)]


def told(at):
    """Return every sentence of the page."""
    return " ".join(one.value for kind in (at.error, at.info, at.caption, at.markdown) for one in kind)


def link(at):
    """Return the values in the link that the page offers."""
    (text,) = [code.value for code in at.code if code.value.startswith("http")]
    return dict(parse_qsl(urlsplit(text).query, keep_blank_values=True))


def controls(at):
    """Return whatever can be turned, those without a key of the link too."""
    return [*at.selectbox, *at.number_input, *at.slider, *at.text_area, *at.text_input, *at.toggle, *at.multiselect]


def control(at, key):
    """Return the control of a value of the link."""
    return next(one for one in controls(at) if one.key == key)


def buttons(at):
    """Return the buttons by what stands on them."""
    return {button.label: button for button in at.button}


def press(at, start):
    """Press the button of that name, or the first that begins so."""
    shown = buttons(at)
    (shown.get(start) or next(shown[label] for label in shown if label.startswith(start))).click().run()
    assert not at.exception
    return at


def wait(done, seconds=120.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def settled(at, seconds=90.0):
    """Run until nothing is under way any more, as the browser does."""
    end = time.monotonic() + seconds
    while "Cancel" in buttons(at):
        assert time.monotonic() < end
        time.sleep(0.1)
        at.run()
    return at


def loaded(*steps):
    """Run the steps of a visit in a fresh process, and return what is loaded of `HEAVY` after each of them."""
    after = "\nprint(*(name for name in HEAVY if name in sys.modules))\n"
    begin = "import logging, sys\nlogging.disable(logging.CRITICAL)\nfrom visitor import *\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + after.join([*steps, ""])],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.split("\n")[:-1]]
