"""``sq.show``: the app beside a notebook."""

import time
import urllib.request

import pytest
import torch
from torch import nn

import sdqviz as sq


@pytest.mark.slow
def test_the_app_opens_on_the_network_and_ends_when_told():
    class Local(nn.Module):  # as in a notebook: a class no file holds
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x):
            return self.layer(x)

    shown = sq.show(sq.Network(Local(), torch.zeros(2, 6)), browser=False)
    try:
        assert shown.url.endswith("/network?network=notebook.py%3Anetwork")
        with urllib.request.urlopen(shown.url, timeout=10) as answer:
            assert answer.status == 200
    finally:
        shown.stop()
    deadline = time.monotonic() + 5
    while shown.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shown.process.poll() is not None


@pytest.mark.parametrize("given", [nn.Linear(2, 2), 3, None])
def test_what_is_no_network_is_refused(given):
    with pytest.raises(sq.InputError, match=r"network must be an sq\.Network with a forward pass, got "):
        sq.show(given)
