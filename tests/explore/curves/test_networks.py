"""Whole networks under frame quantization and along their paths: each point against what is computed by hand."""

import math

import numpy as np
import pytest

from sdqviz.error import InputError
from sdqviz.explore.curves import SUBJECTS


def framed(**more):
    return SUBJECTS["network"](size=300, inputs=8, step_rule="norm-layer", bits=3, **more)


def along_paths(**more):
    return SUBJECTS["path-network"](**{"seeds": 6, "inputs": 16, "samples": 2} | more)


def test_a_network_along_its_paths_is_the_layers_recursion_with_both_bounds_by_hand():
    subject = along_paths(layers=3, failure=0.05)
    point = subject.measure(seed=1)
    x, weights = subject.data(1)
    rounded, original, largest = x, x, []
    step = subject.step * np.sqrt(2 / 16)
    for weight in weights:
        largest.append(np.linalg.norm(original, axis=0).max())
        original, rounded = np.maximum(original @ weight, 0), np.maximum(rounded @ (np.rint(weight / step) * step), 0)
    worst = np.linalg.norm(original - rounded, axis=0).max()
    np.testing.assert_allclose(point.beside["plain rounding"], worst, rtol=1e-9)
    stated = {one.name: one for one in point.promises}
    power = math.log(math.sqrt(2) * 2 * 3 * 16 / 0.05) / math.log(16)  # √2·m·L·N·N^(−p) = γ
    t = math.log(3 * 16 / 0.05)
    factors = {
        "path-network-paper": step * math.sqrt(2 * math.pi * power * 2 * math.log(16)),
        "path-network-hoeffding": step / 2 * math.sqrt(2 + 2 * math.sqrt(2 * t) + 2 * t),
    }
    for name, factor in factors.items():
        value = sum(size * factor ** (3 - i) for i, size in enumerate(largest))
        np.testing.assert_allclose(stated[name].values, value, rtol=1e-9)
        np.testing.assert_allclose(stated[name].probability, 0.95, rtol=1e-9)
        assert stated[name].holds.all() and (stated[name].values >= point.measured).all()


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"method": "gpfq"}, "is not random, so its errors need not average out"),
        ({"finite": True, "room": 0.4}, "the finite alphabet clipped"),
    ],
)
def test_where_nothing_is_proved_of_a_network_along_its_paths_the_hypothesis_is_named(choices, reason):
    point = along_paths(**choices).measure(seed=0)
    assert all(not one.holds.any() and reason in one.because for one in point.promises)


def test_more_samples_than_live_outputs_leave_the_papers_form_behind():
    point = along_paths(inputs=6, samples=8).measure(seed=0)
    paper, ours = point.promises
    assert not paper.holds.any() and "is not perfect" in paper.because and ours.holds.all()


def test_too_much_work_is_refused_with_what_fits():
    with pytest.raises(InputError, match=r"seeds must be at most \d+ for 6 layers of width 128, got 1000: take fewer"):
        SUBJECTS["path-network"](layers=6, inputs=128, samples=32, seeds=1000)


def test_a_network_stays_below_its_bounds_and_each_rung_comes_closer():
    subject = framed(network="mnist-residual")
    point = subject.measure(seed=0)
    stated = {one.name: float(one.values[0]) for one in point.promises}
    assert all(one.holds.all() and one.values[0] >= point.measured[0] for one in point.promises)
    rungs = [stated[f"p{k}"] for k in range(5)]
    assert rungs == sorted(rungs, reverse=True) and rungs[0] < stated["network-layer-spectral"]
    assert stated["network-layer-spectral"] <= stated["network-layer-variation"] and "theorem-5-6" in stated
    assert "network-lemma-5-1-harmonic-rounded" in stated and "equation-14" not in stated
    from sdqviz.compression.compress import compress
    from sdqviz.methods import METHODS
    from sdqviz.networks.catalogue import NETWORKS

    network = NETWORKS["mnist-residual"](seed=0).load()
    images = network.dataset.calibration(8, 0)
    method = METHODS["frame"](frame="harmonic", size=300, bits=3, step_rule="norm-layer")
    other = compress(network, method, images).network
    gap = network.outputs(images, "float64") - other.outputs(images, "float64")
    np.testing.assert_allclose(point.measured[0], np.linalg.norm(gap, axis=1).max(), rtol=1e-6)
    axis = subject.axes["size"]
    assert subject.at(axis, 512).size == 512 and subject.rate("size", [point]).exponent == -1
    assert subject.rate("bits", [point]).exponent == -1


def test_of_a_chain_the_papers_closed_form_stands_for_the_rounded_harmonic_recursion():
    point = framed(network="mnist-fnn").measure(seed=0)
    stated = {one.name: one for one in point.promises}
    closed = stated["equation-14"]
    assert "network-lemma-5-1-harmonic-rounded" not in stated and closed.holds.all()
    assert point.measured[0] <= stated["network-layer-spectral"].values[0] <= closed.values[0]
    assert "3\\pi" in closed.formula and all(f"layer {i}" in closed.because for i in (1, 2, 3))
