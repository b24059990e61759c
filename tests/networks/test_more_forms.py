"""Further forms of modules, inputs and files that people bring: each works, or is refused in one sentence."""

import io

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.report import Report

X = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))


def compressed(module: nn.Module, x: object = X, name: str = "round-to-nearest", **choice: object) -> Report:
    example = X[:2] if isinstance(x, np.ndarray) else x
    return sq.compress(sq.Network(module, example), sq.METHODS[name](**choice), calibration=x).report


def test_modules_without_memory_are_refused():
    with pytest.raises(sq.InputError, match=r"must have its weights, got 0\.weight on the meta device"):
        sq.Network(nn.Sequential(nn.Linear(8, 3, device="meta")), X)


@pytest.mark.parametrize("kind", [">f4", ">f8", "f2", np.longdouble])
@pytest.mark.parametrize("name", ["round-to-nearest", "gptq"])
def test_floats_of_every_length_and_order_are_the_same_numbers(kind, name):
    module = nn.Sequential(nn.Linear(8, 3))
    x = X.half().float()
    expected = compressed(module, x.numpy(), name).relative_output_error
    assert compressed(module, x.numpy().astype(kind), name).relative_output_error == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kept", [0, 1, 10, 100, -5])
def test_torn_files_are_refused_in_a_short_sentence(kept):
    network = sq.Network(nn.Sequential(nn.Linear(8, 3)), X)
    box = io.BytesIO()
    torch.save(network.module.state_dict(), box)
    with pytest.raises(sq.InputError, match="must be a file of tensors, got") as caught:
        network.with_state(box.getvalue()[:kept])
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["round-to-nearest", "gptq"])
def test_layers_that_share_their_bias_alone_are_saved_and_come_back(name, tmp_path):
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.bias = first.bias
    network = sq.Network(nn.Sequential(first, nn.Tanh(), second), X)
    result = sq.compress(network, sq.METHODS[name](bits=4), calibration=X)
    result.save(tmp_path / "x.sdq")
    np.testing.assert_array_equal(sq.load(tmp_path / "x.sdq", network).outputs(X), result.network.outputs(X))


class Applied(nn.Module):
    """A layer and what some function makes of its outputs."""

    def __init__(self, what: object) -> None:
        super().__init__()
        self.layer, self.what = nn.Linear(8, 3), [what]

    def forward(self, x: torch.Tensor) -> object:
        return self.what[0](self.layer(x))


def test_sparse_outputs_are_numbers_like_others():
    torch.manual_seed(0)
    dense, *sparse = (Applied(what) for what in (lambda y: y, torch.Tensor.to_sparse))
    for one in sparse:
        one.load_state_dict(dense.state_dict())
        assert compressed(one, X, bits=3).output_error == compressed(dense, X, bits=3).output_error


@pytest.mark.parametrize("name", ["round-to-nearest", "gpfq", "gptq"])
def test_normalisation_over_the_batch_is_calibrated(name):
    module = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3))
    assert 0 < compressed(module, X, name).relative_output_error < 0.5


class Indexed(nn.Module):
    def __init__(self, traced: bool) -> None:
        super().__init__()
        self.embed, self.layer, self.traced = nn.Embedding(9, 8), nn.Linear(8, 3), traced

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if not self.traced and int(ids.sum()) < 0:
            return self.layer(self.embed(-ids))
        return self.layer(self.embed(ids))


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("name", ["round-to-nearest", "gpfq", "frame"])
def test_inputs_that_fail_late_are_blamed_in_a_sentence(name, traced):
    ids = torch.cat([torch.zeros(50, 4, dtype=torch.long), torch.full((3, 4), 99)])
    network = sq.Network(Indexed(traced), ids[:2])
    for given in (ids, [ids[:20], ids[20:]]):
        with pytest.raises(sq.InputError, match="calibration inputs must be accepted by the network, got index out of"):
            sq.compress(network, sq.METHODS[name](), calibration=given)
