"""The speed of inference in a frame: what is measured, what is counted, and how it is drawn."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.compression.speed import eight_bits, in_frames, inference_speed, layer_speed
from sdqviz.plots.network.speed import draw_speed
from sdqviz.plots.theme import Ink


@pytest.fixture(scope="module")
def result():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(130, 40), nn.ReLU(), nn.Linear(40, 10))
    network = sq.Network(module, torch.randn(64, 130))
    return sq.compress(network, sq.METHODS["frame-calibrated"](bits=1), network.example_input)


def test_bytes_are_those_of_the_weights_and_parts_add_up(result):
    rows = in_frames(result)
    assert list(rows) == ["0", "2"]
    found = [layer_speed(name, own, 2) for name, own in rows.items()]
    assert [one.shape for one in found] == [(40, 130), (10, 40)]
    for one in found:
        assert one.float32_bytes == 4 * one.int8_bytes == 4 * one.shape[0] * one.shape[1]
        assert min(one.float32, one.int8, one.transform, one.tables, one.product) > 0
        assert one.frame == one.transform + one.tables + one.product
    # 130 levels of a bit are three words, of 40 neurons two blocks of 32; sums and steps take four bytes each
    assert found[0].frame_bytes == (64 if found[0].arithmetic == "shuffle" else 40) * 24 + 40 * 8


def test_bars_stack_to_times_as_shares_of_float32_and_end_at_the_axis(result):
    found = [layer_speed(name, own, 1) for name, own in in_frames(result).items()]
    panel = draw_speed(found, 1, Ink())
    bars = {bar.name: np.array(bar.x) for bar in panel.figure.data}
    np.testing.assert_allclose(bars["dense, float32"], 1)
    frame = bars["transform E x"] + bars["rounding and tables"] + bars["product with the levels"]
    np.testing.assert_allclose(frame, [min(one.frame / one.float32, 2.5) for one in found])
    assert list(panel.table()["frame, bytes"]) == [one.frame_bytes for one in found]


def test_eight_bits_are_torchs_and_other_methods_have_no_frame_of_inputs(result):
    weight, values = torch.randn(12, 20), torch.randn(3, 20)
    close = eight_bits(weight, values)()
    input_step, step = float(values.max() - values.min()) / 127, float(weight.abs().max()) / 127
    allowed = input_step * weight.abs().sum(1) + (step / 2) * (values.abs() + input_step).sum(1)[:, None]
    assert ((close - values @ weight.T).abs() <= allowed).all() and len(close) == 3
    other = sq.compress(result.original, sq.METHODS["frame"](redundancy=2), result.inputs)
    assert in_frames(other) == {} and inference_speed(other) == ()
    with pytest.raises(sq.InputError, match="batch must be"):
        inference_speed(result, 0)
