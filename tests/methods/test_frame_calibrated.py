"""The calibrated frame as a method: what is stored, said and refused, on dense, convolutional and grouped layers."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq

CALIBRATED = sq.METHODS["frame-calibrated"]


def network(dead=0, inputs=12):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(inputs, 10), nn.ReLU(), nn.Linear(10, 4))
    data = torch.randn(200, inputs)
    data[:, :dead] = 0.0
    return sq.Network(module, data), data.numpy()


def test_bits_are_counted_by_hand_and_dead_inputs_take_only_a_flag():
    given, data = network(dead=5)
    result = sq.compress(given, CALIBRATED(bits=2, redundancy=1.5), calibration=data)
    first = result.layers[0]
    # 10 neurons of N = ⌈1.5·7⌉ = 11 levels, a step of 16 bits each, a flag an input, 72 bits for the frame
    assert first.stored["levels"].bit_count == 10 * 11 * 2 and first.stored["step"].byte_count == 20
    assert first.bits == 8 * (28 + 20 + 2) + 72
    assert (first.weight[:, :5] == 0).all() and (first.weight[:, 5:] != 0).all()
    kept = sq.compress(given, CALIBRATED(bits=2, keep_dead=True), calibration=data).layers[0]
    assert (kept.weight[:, :5] != 0).any() and "dead" not in kept.stored


@pytest.mark.parametrize("redundancy", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("alignment", ["none", "least-squares"])
def test_error_is_that_of_the_output_and_the_bound_holds_where_nothing_is_clipped(redundancy, alignment):
    given, data = network()
    result = sq.compress(given, CALIBRATED(bits=8, redundancy=redundancy, alignment=alignment), calibration=data)
    row, item = result.report.layers[0], result.layers[0]
    direct = np.linalg.norm(data @ (item.layer.weight - item.weight).T) / np.sqrt(200)  # no layer before: T = W
    assert row.error == pytest.approx(direct, rel=1e-5) and row.error_name == "‖X̃(W−Q)ᵀ‖_F/√m"
    assert item.output.error <= item.output.damped
    for layer in result.report.layers:
        assert layer.bound_holds == (layer.overload == 0 and redundancy >= 1)
        if layer.bound_holds:
            assert layer.error <= layer.bound * (1 + 1e-9)
    assert ("no frame of R^d" in result.report.note) == (redundancy < 1)
    assert not result.report.output_bound_holds and "calibrated on" in result.report.output_bound_because


def test_bound_is_in_force_somewhere_with_eight_bits():
    given, data = network()
    report = sq.compress(given, CALIBRATED(bits=8, redundancy=4.0), calibration=data).report
    assert any(row.bound_holds for row in report.layers)
    assert "not about unseen inputs" in next(row.bound_because for row in report.layers if row.bound_holds)


def test_alignment_makes_up_for_what_earlier_layers_did():
    given, data = network()
    errors = [
        sq.compress(given, CALIBRATED(bits=2, alignment=alignment), calibration=data).report.relative_output_error
        for alignment in ("none", "least-squares")
    ]
    assert errors[1] < errors[0]


def test_grouped_and_depthwise_convolutions_each_have_their_live_inputs():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(32, 3)
    )
    data = torch.randn(60, 4, 6, 6)
    data[:, 0] = 0.0
    given = sq.Network(module, data)
    method = CALIBRATED(bits=3, bits_by_layer={"2": 8}, redundancy_by_layer={"0": 1.25})
    result = sq.compress(given, method, calibration=data.numpy())
    assert [row.levels for row in result.report.layers] == [8, 256, 8]
    assert (result.layers[0].weight[:4, 0] == 0).all() and (result.layers[0].weight[4:] != 0).any()
    for item in result.layers:
        weight, _ = method.decode(item.stored, item.parameters, item.layer.weight.shape, item.layer.groups)
        np.testing.assert_array_equal(weight, item.weight)


def test_a_layer_without_any_live_input_is_left_alone():
    given, data = network(dead=12)
    report = sq.compress(given, CALIBRATED(), calibration=data).report
    assert [row.name for row in report.layers] == ["2"]
    assert "none of its inputs is other than 0" in " ".join(report.left_alone)


def test_files_that_do_not_fit_are_refused():
    given, data = network()
    item = sq.compress(given, CALIBRATED(), calibration=data).layers[0]
    with pytest.raises(sq.InputError, match="levels and steps must be"):
        CALIBRATED.decode(item.stored, {**item.parameters, "redundancy": 2.0}, (10, 12), 1)
    with pytest.raises(sq.InputError, match="redundancy must be between"):
        CALIBRATED.decode(item.stored, {**item.parameters, "redundancy": 1e9}, (10, 12), 1)


def test_bad_choices_are_refused_in_one_sentence():
    with pytest.raises(sq.InputError, match="damping must be above 0 where N > d"):
        CALIBRATED(damping=0.0, redundancy=2.0)
    with pytest.raises(sq.InputError, match=r"redundancy must be at least 0\.25"):
        CALIBRATED(redundancy=0.1)
    with pytest.raises(sq.InputError, match="paths must be at least 1"):
        CALIBRATED(paths=0)
    with pytest.raises(sq.InputError, match="bits must be at most 8"):
        CALIBRATED(bits=9)
