"""The drawn filter of a calibrated walk is the factor of the inputs' Gram matrix in the frame."""

import numpy as np

from sdqviz.explore import what_if
from sdqviz.explore.network import link
from sdqviz.explore.network.feedback import CELLS, feedback
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.plots.network.feedback import draw_feedback
from sdqviz.plots.theme import Ink


def test_filter_is_that_of_the_inputs_in_the_frame():
    asked = what_if.answer(link.question({"method": "frame-calibrated", "bits": 1, "calibration": 64}))
    found, run = feedback(asked, "output"), asked.compression
    hidden = np.asarray(run.inputs, float).reshape(len(run.inputs), -1)
    for layer in run.network.layers[:2]:
        hidden = np.maximum(hidden @ layer.weight.T, 0)
    item = asked.layer("output")
    live = hidden[:, (hidden != 0).any(axis=0)]
    frame = RowFrame(live.shape[1], 1.0, item.parameters["seed"])
    vectors = frame.analyze(np.eye(live.shape[1])).T  # N × d
    damped = vectors @ live.T @ live @ vectors.T + item.output.damping * np.eye(frame.size)
    lower = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]  # upper now
    wanted = np.abs(np.triu(lower / np.diagonal(lower), 1).T)
    block = -(-frame.size // CELLS)
    assert found.size == frame.size and found.block == block
    np.testing.assert_allclose(found.cells[1, 0], wanted[block : 2 * block, :block].max(), rtol=1e-3)
    np.testing.assert_allclose([found.largest, found.norm],
                               [wanted.max(), np.linalg.norm(wanted, axis=1).mean()], rtol=1e-3)  # fmt: skip
    panel = draw_feedback(found, "output", Ink())
    assert len(panel.figure.data) == 2 and len(panel.table()) == len(found.cells)
    other = what_if.answer(link.question({"size": 300, "bits": 1, "calibration": 32}))
    assert feedback(other, "output") is None
