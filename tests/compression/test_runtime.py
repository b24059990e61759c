"""Inference in the frame's domain: the dense layer's outputs within the proved bound, from a file too."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import sdqviz as sq
from sdqviz.compression.runtime import FrameLinear
from sdqviz.kernels.shuffle import available
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.row_product import FrameRows, RowProduct


@settings(max_examples=60)
@given(
    dimension=st.integers(1, 600), outputs=st.sampled_from([1, 9, 31, 70]), bits=st.integers(1, 4),
    count=st.integers(1, 3), redundancy=st.sampled_from([0.5, 1.0, 1.3]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_products_are_the_dense_ones_within_the_bound(dimension, outputs, bits, count, redundancy, seed):
    rng = np.random.default_rng(seed)
    frame, live = RowFrame(dimension, redundancy, 3), rng.permutation(np.arange(dimension + 2) < dimension)
    levels = rng.integers(0, 2**bits, (outputs, frame.size)).astype(np.uint8)
    rows = FrameRows(frame, live, levels, rng.uniform(0, 2, outputs).astype(np.float32).astype(float), bits)
    inputs = rng.standard_normal((count, dimension + 2))
    one, other = RowProduct(rows, "popcount"), RowProduct(rows, "int8")
    if available():
        third = RowProduct(rows, "shuffle")
        np.testing.assert_array_equal(third(inputs), one(inputs))
        np.testing.assert_array_equal(third.rounding_bound(inputs), one.rounding_bound(inputs))
    bound, found = one.rounding_bound(inputs), one(inputs)
    np.testing.assert_allclose(found, other(inputs), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(bound, other.rounding_bound(inputs))
    scale = np.abs(frame.analyze(inputs[:, live])).max(axis=1) / 127
    assert (bound <= frame.size * scale[:, None] / 2 * (2**bits - 1) / 2 * rows.step * (1 + 1e-12)).all()
    assert (np.abs(found - inputs @ rows.dense().T) <= bound + 1e-11).all()
    np.testing.assert_array_equal(one(0 * inputs), 0)


def test_a_compression_and_its_file_run_without_a_dense_weight(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(40, 24), nn.ReLU(), nn.Linear(24, 5))
    network = sq.Network(module, torch.randn(64, 40))
    result = sq.compress(network, sq.METHODS["frame-calibrated"](bits=2), network.example_input)
    result.save(tmp_path / "a.sdq")
    inputs = network.example_input
    found = sq.runtime(result, arithmetic="popcount")
    assert [type(part) for part in found] == [FrameLinear, nn.ReLU, FrameLinear]
    assert not any(name.endswith("weight") for name in found.state_dict())
    outputs = found(inputs)
    assert torch.equal(outputs, sq.runtime(tmp_path / "a.sdq", network, "popcount")(inputs))
    error = (found[0](inputs) - result.network.module[0](inputs)).abs().numpy()
    assert (error <= found[0].product.rounding_bound(inputs.double().numpy()) + 1e-5).all()
    for path in (tmp_path / "a.sdq", result):
        dense = sq.runtime(path, network, "dense")
        assert torch.equal(dense(inputs), result.network.module(inputs))
        sq.runtime(path, network)(inputs)
    with pytest.raises(sq.InputError, match="finite"):
        found(torch.full((1, 40), float("nan")))
    with pytest.raises(sq.InputError, match="result must be"):
        sq.runtime(result.network)
    with pytest.raises(sq.InputError, match="arithmetic must be"):
        sq.runtime(result, arithmetic="fast")


def test_a_trained_network_is_as_accurate_in_the_frames_domain():
    network = sq.NETWORKS["mnist-fnn"](seed=0).load()
    result = sq.compress(network, sq.METHODS["frame-calibrated"](bits=1), 512)
    images, labels = network.dataset.test(10_000)
    found = sq.runtime(result, arithmetic="popcount")(torch.from_numpy(images.copy())).argmax(1).numpy()
    assert abs((found == labels).mean() - result.report.accuracy_after) <= 0.001
