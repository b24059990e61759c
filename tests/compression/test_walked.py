"""What a report promises of the output after path following: never exceeded where it holds, and why it does not."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.bounds.path import ProbabilisticBound
from sdqviz.compression.compress import Compression
from sdqviz.compression.guarantee import output_bounds
from sdqviz.compression.measurement import measure

WIDE = {"bits": 7, "stretch": 8.0, "fit": "max", "order": 3}
"""A finite alphabet with room for what the feedback makes of the weights."""

FREE = {"bits": 4, "finite": False, "order": 2}


def chain(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(9, 8), nn.GELU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))


def samples(count: int = 40, width: int = 9) -> np.ndarray:
    return np.random.default_rng(4).standard_normal((count, width)).astype(np.float32)


def run(module: nn.Module, name: str, x: np.ndarray, seed: int = 0, **choice) -> Compression:
    return sq.compress(sq.Network(module, torch.from_numpy(x[:2])), sq.METHODS[name](**choice), x, seed=seed)


def test_the_report_states_the_joint_probability_and_what_it_speaks_of():
    result = run(chain(), "spfq", samples(), **WIDE)
    report = result.report
    assert report.output_bound_holds and report.output_error <= report.output_bound
    assert [type(one) for one in result.output_bounds] == [ProbabilisticBound] * 2
    assert all(one.probability == 0.95 for one in result.output_bounds)
    told = report.output_bound_because
    assert "With probability at most 0.05 over the random numbers of all 3 layers together" in told
    assert "clips nothing (it clipped none of 144 values) and yet exceeds this on one of the 40" in told
    endless = run(chain(), "spfq", samples(), **FREE).report
    assert endless.output_bound_holds and "clip" not in endless.output_bound_because.split("With probability")[1]


def test_the_value_is_the_formula_of_the_last_layer_with_what_its_walk_saw():
    result = run(chain(), "spfq", samples(), **FREE)
    path = result.layers[-1].path
    each = 0.05 / 6
    root = math.sqrt(0.5 * math.log(2 * 40 * 4 / each))
    expected = np.linalg.norm(path.error_limit) * root * path.input_norms.max() + np.linalg.norm(path.alignment_errors)
    assert result.report.output_bound == pytest.approx(expected, rel=1e-9)


# -- reasons for not holding --------------------------------------------------------------------------


class Halved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(9, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) / 2


def shared() -> nn.Module:
    layer = nn.Linear(9, 9)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(9, 2))


@pytest.mark.parametrize(
    ("module", "name", "choice", "x", "reason"),
    [
        (chain, "gpfq", {}, samples(), "draws no random numbers"),
        (chain, "gptq", {}, samples(), "draws no random numbers"),
        (chain, "spfq", {"bits": 2, "fit": "max", "stretch": 0.3}, samples(), "the finite alphabet clipped"),
        (shared, "spfq", FREE, samples(), "layer 0 is used 2 times"),
        (Halved, "spfq", FREE, samples(), "has a forward of its own"),
        (lambda: chain().bfloat16(), "spfq", FREE, samples(), "half precision"),
        (chain, "spfq", FREE, samples(12, 9 * 5).reshape(12, 5, 9), "inputs of 3 axes"),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 9)), nn.Conv1d(1, 2, 3)), "spfq", FREE, samples(), "Unflatten"),
    ],
)
def test_no_bound_is_said_to_hold_where_a_hypothesis_fails(module, name, choice, x, reason):
    torch.manual_seed(0)
    network = sq.Network(module(), torch.zeros(2, 9))
    report = sq.compress(network, sq.METHODS[name](**choice), x).report
    assert not report.output_bound_holds
    assert report.output_bound_because.startswith("Not applicable: ") and reason in report.output_bound_because


def test_rows_that_the_walk_did_not_see_are_not_spoken_of():
    result = run(chain(), "spfq", samples(), **FREE)
    other = measure(result.original, result.network, result.original.layers, samples(41))
    for one in output_bounds(result.original, result.layers, other):
        assert not one.holds and "the walk saw 40 rows where the error was measured on 41 inputs" in one.because


def test_a_layer_that_was_not_walked_leaves_the_network_without_a_bound():
    result = run(chain(), "spfq", samples(), **FREE)
    found = measure(result.original, result.network, result.original.layers, samples())
    missing = output_bounds(result.original, result.layers[:-1], found)[0]
    assert not missing.holds and "layer 4 was not compressed" in missing.because
    plain = dataclasses.replace(result.layers[0], path=None)
    mixed = output_bounds(result.original, (plain, *result.layers[1:]), found)[0]
    assert not mixed.holds and "others do not" in mixed.because
