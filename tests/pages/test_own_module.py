"""A network of one's own in the app: in every box once it was named on the command line, and never by a link."""

import textwrap

import pytest
from visitor import visit

import sdqviz as sq
from sdqviz.networks.module_file import from_file
from sdqviz.ui.geta import TRAINED

FILE = """
import numpy as np, torch, sdqviz as sq
from torch import nn
def make():
    torch.manual_seed(0)
    x, y = np.random.default_rng(0).normal(size=(80, 16)).astype("float32"), np.arange(80) % 3
    layers = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3))
    return layers, torch.zeros(2, 16), sq.Dataset("mine", x[:40], y[:40], x[40:], y[40:])
def without_data():
    return nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3)), torch.ones(2, 16)
"""


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    file = tmp_path_factory.mktemp("own") / "mine.py"
    file.write_text(textwrap.dedent(FILE))
    names = [from_file(f"{file}:{function}").name for function in ("make", "without_data")]
    yield names
    for name in names:
        sq.NETWORKS.forget(name)


def test_it_stands_in_the_boxes_of_the_pages(named):
    network = visit("network", network="mine.py:make", method="round-to-nearest", calibration=16)
    assert not network.error and not network.warning
    box = network.selectbox(key="network")
    assert set(named) <= set(box.options) and box.value == "mine.py:make"
    assert "mine.py:make" in visit("compare").selectbox(key="network").options


def test_without_data_it_is_offered_where_none_is_needed(named):
    network = visit("network", network="mine.py:without_data", method="round-to-nearest")
    assert not network.error and network.selectbox(key="network").value == "mine.py:without_data"
    geta = visit("geta", view=TRAINED).selectbox(key="network").options
    assert "mine.py:make" in geta and "mine.py:without_data" not in geta
    smallest = visit("compare", network="mine.py:without_data", view="Smallest size")
    assert not smallest.error and any("comes without data" in one.value for one in smallest.info)


def test_a_link_cannot_name_code(tmp_path):
    file = tmp_path / "evil.py"
    file.write_text("open(__file__ + '.ran', 'w')\ndef make():\n    pass\n")
    for name in (f"{file}:make", "evil.py:make"):
        page = visit("network", network=name)
        assert any("network must be one of" in one.value for one in page.warning) and not page.error
        assert page.selectbox(key="network").value == "mnist-fnn"
    assert list(tmp_path.iterdir()) == [file]
