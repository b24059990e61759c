"""Files of one's own on the Network page, without a browser: what is shown and refused, and that it stays alone."""

import functools
import gc
import io
import os
import pickle
import weakref

import numpy as np
import pytest
import torch
import visitor
from safetensors.torch import save
from visitor import metrics, told

import sdqviz as sq
from sdqviz.explore import what_if
from sdqviz.networks import own_weights
from sdqviz.networks.dataset import mnist
from sdqviz.ui import network_form

visit = functools.partial(visitor.visit, "network")


def upload(page, name, content, place=0):
    page.file_uploader[place].upload(name, content).run()
    assert not page.exception
    return page


def weights(seed=0, outputs=12):
    generator = torch.Generator().manual_seed(seed)
    return save({
        "first.weight": torch.randn(outputs, 20, generator=generator), "first.bias": torch.randn(outputs),
        "conv.weight": torch.randn(6, 3, 3, 3, generator=generator), "norm.weight": torch.ones(6),
    })  # fmt: skip


def test_own_weights_wait_for_a_file_and_then_show_what_can_be_known():
    page = visit(network="own", size_as="redundancy")
    assert not page.error and "Choose a file of weights at the left" in told(page)
    assert "at most 100 MiB" in page.file_uploader[0].label
    upload(page, "mine.safetensors", weights())
    shown = metrics(page)
    method = sq.METHODS["frame"](**network_form.BEST["frame"])
    result = sq.compress(own_weights.read_weights(weights(), "mine.safetensors"), method)
    assert shown["Bits per original weight"] == f"{result.report.bits_per_weight:.3g}"
    assert shown["Accuracy after"] == "not tested"
    worst = max(row.weight_error for row in result.report.layers)
    assert shown["Largest error of the weights"] == f"{100 * worst:.1f} %"
    assert "holds in 2 of 2 layers" in told(page) and "Dead inputs" not in told(page)
    assert "Plain rounding wins here" in told(page) and "averages over all weights" in told(page)
    assert set(page.selectbox(key="layer").options) == {"first", "conv"}
    code = " ".join(one.value for one in page.code)
    assert "own_weights.read_weights(Path('mine.safetensors'))" in code and "calibration=None" in code


def test_methods_that_need_data_are_one_sentence():
    page = upload(visit(network="own"), "mine.safetensors", weights())
    for method in ("gpfq", "gptq"):
        page.selectbox(key="method").set_value(method).run()
        for button in page.button:
            if button.label.startswith("Run"):
                button.click().run()
        assert not page.exception
        assert "calibration must hold at least one sample for the method" in told(page)


class Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("what", ["pickle", "torch", "other network", "text"])
def test_files_that_cannot_be_used_are_one_sentence(what, tmp_path):
    out = io.BytesIO()
    if what == "pickle":
        pickle.dump(Malicious(tmp_path / "trap"), out)
    elif what == "torch":
        torch.save({"weight": torch.ones(2), "x": Malicious(tmp_path / "trap")}, out)
    elif what == "other network":
        torch.save(sq.NETWORKS["mnist-lenet"]().build().state_dict(), out)
    else:
        out.write(b"hello")
    page = upload(visit(network="own", architecture="mnist-fnn"), "evil.pt", out.getvalue())
    sentences = {one.value.removesuffix(". Change it at the left; nothing else is lost.") for one in page.error}
    assert len(page.error) == 1 and "evil.pt" in min(sentences) and "\n" not in min(sentences)
    assert not (tmp_path / "trap").exists() and not page.metric


def test_a_state_dict_and_data_of_ones_own():
    network = sq.NETWORKS["mnist-fnn"](seed=2).load()
    page = visit(network="own", architecture="mnist-fnn", calibration=64)
    upload(page, "mine.safetensors", save(network.module.state_dict()))
    begun = sq.compress(network, sq.METHODS["frame"](**network_form.BEST["frame"]), 64).report
    assert metrics(page)["Accuracy after"] == f"{100 * begun.accuracy_after:.1f} %"
    page.selectbox(key="data").set_value("your file").run()
    assert "Choose a file of data at the left" in told(page)
    images, labels = mnist().test(300)
    out = io.BytesIO()
    np.savez(out, images=images, labels=labels)
    upload(page, "few.npz", out.getvalue(), 1)
    mine = network.with_data(own_weights.read_dataset(out.getvalue()))
    report = sq.compress(mine, sq.METHODS["frame"](**network_form.BEST["frame"]), 60).report  # every fifth of 300
    assert metrics(page)["Accuracy after"] == f"{100 * report.accuracy_after:.1f} %"
    assert page.slider(key="calibration").value == 60


@pytest.mark.slow
def test_torchvisions_names_say_that_their_weights_are_random():
    page = visit(network="torchvision", torchvision="squeezenet1_1", method="round-to-nearest", network_size=64)
    run = next(button for button in page.button if button.label.startswith("Run"))
    run.click().run()
    for _ in range(600):
        if not any(button.label == "Cancel" for button in page.button):
            break
        page.run()
    assert not page.exception and metrics(page)["Accuracy after"] == "not tested"
    assert page.selectbox(key="layer").value == "features.0"
    assert "Random weights: shapes and errors only" in told(page)
    assert not [one for one in page.text_area if one.key == "network_weights"]  # no paths of the server


def test_two_sessions_never_see_each_others_files():
    shared = {name: len(kept) for name, kept in vars(what_if.SHARED).items()}
    first, second = (
        upload(visit(network="own", size_as="redundancy"), "mine.safetensors", weights(seed, outputs))
        for seed, outputs in ((0, 12), (1, 16))
    )
    one, other = metrics(first), metrics(second)
    assert one != other
    first.run()
    assert metrics(first) == one
    assert metrics(visit(network="own")) == {}
    assert {name: len(kept) for name, kept in vars(what_if.SHARED).items()} == shared  # nothing went to the process
    held = first.session_state["_own network"]
    assert held.choice != second.session_state["_own network"].choice


def test_a_new_file_takes_the_place_of_the_old_one_and_nothing_is_left():
    page = upload(visit(network="own", size_as="redundancy"), "mine.safetensors", weights())
    before, network = metrics(page), weakref.ref(page.session_state["_own network"].network)
    upload(page, "mine.safetensors", weights(3, 24))
    assert metrics(page) != before
    page.run()
    gc.collect()
    assert network() is None


def test_nothing_is_written_to_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    page = upload(visit(network="own", size_as="redundancy"), "mine.safetensors", weights())
    assert page.metric and not list(tmp_path.rglob("*"))


def test_downloads_are_made_on_demand_and_say_why_not():
    page = upload(visit(network="own", size_as="redundancy"), "mine.safetensors", weights())
    button = next(one for one in page.button if one.label == "Write ONNX")
    assert button.disabled and "no forward pass" in button.help
    labels = [one.proto.label for one in page.get("download_button")]
    assert any(label.startswith("Packed network") for label in labels)
    assert any(label.startswith("Weights, safetensors") for label in labels)


@pytest.mark.parametrize("count", [1, 2, 5, 59])
def test_few_images_work_or_say_why_not(count):
    page = visit(network="mnist-fnn", network_seed=2, data="your file", method="round-to-nearest")
    images, labels = mnist().test(count)
    out = io.BytesIO()
    np.savez(out, images=images, labels=labels)
    upload(page, "few.npz", out.getvalue())
    if count == 1:
        assert "images must hold at least 2 images, one to calibrate and one to test, got 1" in told(page)
        return
    assert not page.error and metrics(page)["Accuracy after"].endswith(" %")
    dataset = page.session_state["_own network"].network.dataset
    assert (dataset.calibration_size, len(dataset.test_labels)) == (-(-count // 5), count - -(-count // 5))
    for method in ("frame", "gpfq"):
        page.selectbox(key="method").set_value(method).run()
        assert not page.exception and not page.error
        for button in page.button:
            if button.label.startswith("Run"):
                button.click().run()
        assert not page.exception and not page.error
