"""What frames cannot take is refused in one sentence, before anything of the network is changed."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.row_product import FrameRows, RowProduct

NAMES = ["frame", "frame-calibrated", "frame-columns", "frame-coded"]


def network(first=0.1):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 4))
    module[0].weight.data[0, 0] = first
    return sq.Network(module, torch.randn(50, 12))


def method(name):
    given = {"redundancy": 2.0, "step_bits": "16"} if name == "frame" else {}
    return sq.METHODS[name](**given)


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_calibration_that_are_not_finite_or_of_another_width_are_refused(name):
    inputs = np.random.default_rng(0).standard_normal((50, 12)).astype(np.float32)
    with pytest.raises(sq.InputError, match="layer '0' must have a finite weight, got 1 entries"):
        sq.compress(network(float("nan")), method(name), inputs)
    with pytest.raises(sq.InputError, match="calibration must be finite, got NaN"):
        sq.compress(network(), method(name), np.full((5, 12), np.nan, np.float32))
    with pytest.raises(sq.InputError, match="calibration inputs must be accepted by the network"):
        sq.compress(network(), method(name), inputs[:, :11])


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("scale", [1e6, 1e-6, 1e-12])
def test_steps_of_sixteen_bits_serve_weights_of_any_size(name, scale):
    inputs = np.random.default_rng(0).standard_normal((50, 12)).astype(np.float32)
    errors = []
    for factor in (1.0, scale):
        module = network().module
        for parameter in module.parameters():
            parameter.data *= factor
        (found, *_) = sq.compress(sq.Network(module, torch.randn(50, 12)), method(name), inputs).layers
        given = module[0].weight.detach().double().numpy()
        errors.append(np.linalg.norm(found.weight - given) / np.linalg.norm(given))
    assert 0 < errors[1] < 1.1 * errors[0]  # a step has eight significant bits at least


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_layer_of_one_input_or_one_output_is_compressed_or_left_alone(name):
    torch.manual_seed(0)
    given = sq.Network(nn.Sequential(nn.Linear(1, 6), nn.ReLU(), nn.Linear(6, 1)), torch.randn(40, 1))
    report = sq.compress(given, method(name), given.example_input).report
    assert {row.name for row in report.layers} | {told.split()[0] for told in report.left_alone} >= {"0", "2"}


def test_products_refuse_levels_beyond_their_bits_and_inputs_of_another_width():
    frame = RowFrame(6)
    levels = np.array([[0, 1, 2, 0, 1, 0]], np.uint8)
    for arithmetic in ("popcount", "int8"):
        with pytest.raises(sq.InputError, match="levels of 1 bit must be below 2, got 2"):
            RowProduct(FrameRows(frame, np.ones(6, bool), levels, np.ones(1), 1), arithmetic)
    product = RowProduct(FrameRows(frame, np.ones(6, bool), levels, np.ones(1), 2))
    with pytest.raises(sq.InputError, match=r"inputs must have shape \(n, 6\), got \(2, 7\)"):
        product(np.zeros((2, 7)))
    np.testing.assert_array_equal(product(np.zeros((2, 6))), 0)
    with pytest.raises(sq.InputError, match="inputs must be finite"):
        product(np.array([[0, 0, np.inf, 0, 0, 0]]))
