"""A file of one's own in a real browser: uploaded, shown, downloaded again, refused, and unseen by a second visitor."""

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import sdqviz as sq
from sdqviz.compression import packed_file
from sdqviz.networks import own_weights

PLOT = ".js-plotly-plot .main-svg"
CHOOSER = '[data-testid="stFileUploaderDropzoneInput"]'


def weights():
    generator = torch.Generator().manual_seed(0)
    return save({
        "query.weight": torch.randn(48, 64, generator=generator), "query.bias": torch.zeros(48),
        "conv.weight": torch.randn(16, 8, 3, 3, generator=generator), "norm.weight": torch.ones(64),
    })  # fmt: skip


def metrics(page):
    page.wait_for_selector('[data-testid="stMetricValue"]')
    return page.locator('[data-testid="stMetricValue"]').all_inner_texts()


def give(page, name, content):
    page.locator(CHOOSER).first.set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )


def save_as(page, label, file):
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    waiting.value.save_as(file)
    return file


@pytest.mark.slow
def test_weights_are_uploaded_shown_and_downloaded_again(tab, browser, server, tmp_path):
    tab.goto(f"{server}/network?network=own&size_as=redundancy&redundancy=3.0")
    tab.get_by_text("Choose a file of weights at the left").wait_for()
    give(tab, "mine.safetensors", weights())
    tab.wait_for_selector(PLOT)
    given = own_weights.read_weights(weights(), "mine.safetensors")
    result = sq.compress(given, sq.METHODS["frame"](redundancy=3.0))
    assert metrics(tab)[:2] == [f"{result.report.bits_per_weight:.3g}", "not tested"]

    packed = packed_file.read(save_as(tab, "Packed network", tmp_path / "x.sdq"))
    assert packed.rebuild(given).fingerprint == result.network.fingerprint
    state = load(save_as(tab, "Weights, safetensors", tmp_path / "x.safetensors").read_bytes())
    for item in result.layers:
        found = state[f"{item.layer.name}.weight"].numpy()
        np.testing.assert_array_equal(found, item.weight.astype(np.float32))
    assert tab.get_by_role("button", name="Write ONNX").is_disabled()

    with browser.new_context() as context:  # the same link, another visitor
        other = context.new_page()
        other.goto(tab.url)
        other.get_by_text("Choose a file of weights at the left").wait_for()
        assert other.locator('[data-testid="stMetricValue"]').count() == 0
    assert tab.off_host == []


class Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.slow
def test_a_pickle_that_would_run_code_is_refused(tab, server, tmp_path):
    tab.goto(f"{server}/network?network=own&architecture=mnist-fnn")
    tab.get_by_text("Choose a file of weights at the left").wait_for()
    give(tab, "evil.pt", pickle.dumps(Malicious(tmp_path / "trap")))
    tab.get_by_text("weights must be a file of tensors, got evil.pt").first.wait_for()
    assert not (tmp_path / "trap").exists() and tab.locator('[data-testid="stException"]').count() == 0


@pytest.mark.slow
def test_onnx_is_written_beside_the_page(tab, server, tmp_path):
    tab.goto(f"{server}/network?size=400&calibration=64")
    tab.wait_for_selector(PLOT)
    tab.wait_for_selector('[data-test-script-state="notRunning"]')
    tab.get_by_role("button", name="Write ONNX").click()
    tab.get_by_role("button", name="Network, ONNX").wait_for(timeout=120_000)
    file = save_as(tab, "Network, ONNX", tmp_path / "x.onnx")
    assert file.stat().st_size > 4 * 268_800
