"""Further forms of modules, inputs and files that people bring: each works, or is refused in one sentence."""

import dataclasses
import functools
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.networks.forward import main_tensor
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


def older(tool, layer):
    """Wrap a layer with one of the older tools, which say that they are old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tool(layer)


@pytest.mark.parametrize(
    ("wrap", "called"),
    [
        (nn.utils.parametrizations.weight_norm, "WeightNorm"),
        (nn.utils.parametrizations.spectral_norm, "SpectralNorm"),
        (nn.utils.parametrizations.orthogonal, "Orthogonal"),
        (functools.partial(older, nn.utils.weight_norm), "weight_norm"),
        (functools.partial(older, nn.utils.spectral_norm), "spectral_norm"),
        (lambda layer: nn.utils.prune.l1_unstructured(layer, "weight", 0.5), "pruning"),
    ],
)
@pytest.mark.parametrize("make", [lambda: nn.Linear(8, 8), lambda: nn.Conv1d(8, 6, 1, groups=2)], ids=["dense", "conv"])
def test_weights_that_torch_computes_are_compressed_as_what_they_are(wrap, called, make, tmp_path):
    torch.manual_seed(0)
    layer = wrap(make())
    module = nn.Sequential(layer, nn.Flatten()).eval()
    x = X if isinstance(layer, nn.Linear) else X[:, :, None]
    expected, names = module(x).detach(), set(module.state_dict())
    network = sq.Network(module, x)
    np.testing.assert_allclose(network.outputs(x), expected.numpy(), rtol=1e-5, atol=1e-6)
    result = sq.compress(network, sq.METHODS["gptq"](bits=4), x)
    assert [row.name for row in result.report.layers] == ["0"] and not result.report.left_alone
    assert f"weights that are computed from others were replaced by what they are: 0 ({called})" in result.report.note
    assert 0 < result.report.relative_output_error < 0.3
    result.save(tmp_path / "small.sdq")
    again = sq.load(tmp_path / "small.sdq", sq.Network(module, x))
    np.testing.assert_array_equal(again.outputs(x), result.network.outputs(x))
    assert set(module.state_dict()) == names
    torch.testing.assert_close(module(x).detach(), expected, rtol=0, atol=0)


def test_weights_computed_from_tensors_that_others_use_stay_as_they_are():
    one, two = (nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)) for _ in range(2))
    two.parametrizations.weight.original1 = one.parametrizations.weight.original1
    result = sq.compress(sq.Network(nn.Sequential(one, two, nn.Linear(8, 3)), X), sq.METHODS["round-to-nearest"](), X)
    assert [row.name for row in result.report.layers] == ["2"] and not result.report.note


@dataclasses.dataclass(slots=True)
class Slotted:
    place: int
    scores: torch.Tensor


class Returning(nn.Module):
    """A layer, and what is made of its output."""

    def __init__(self, make):
        super().__init__()
        self.layer, self.make = nn.Linear(8, 8), make

    def forward(self, x):
        return self.make(self.layer(x))


def autocast(y):
    with torch.autocast("cpu", torch.bfloat16):
        return torch.nn.functional.linear(y, torch.eye(8, dtype=y.dtype))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda y: Slotted(3, y), (24, 8)),
        (torch.fft.rfft, (24, 5, 2)),
        (lambda y: (y.argmax(1), torch.fft.rfft(y).conj()), (24, 5, 2)),
        (lambda y: y.square().mean(), (1,)),
        (autocast, (24, 8)),
    ],
    ids=["slots", "complex", "conjugate", "scalar", "autocast"],
)
@pytest.mark.parametrize("name", ["round-to-nearest", "gptq", "gpfq"])
def test_outputs_of_more_kinds(make, shape, name):
    torch.manual_seed(0)
    network = sq.Network(Returning(make), X)
    assert network.outputs(X).shape == shape
    result = sq.compress(network, sq.METHODS[name](bits=3), X)
    before, after = (
        main_tensor(one.module64(X.double())) for one in (network, result.network)
    )  # a complex number's error has two parts
    wanted = float(torch.linalg.vector_norm(before - after) / torch.linalg.vector_norm(before))
    np.testing.assert_allclose(result.report.relative_output_error, wanted, rtol=1e-6)
    assert 0 < wanted < 0.7


class Fixed(nn.Module):
    """Takes four inputs at a time and no others."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(32, 8)

    def forward(self, x):
        return self.two(self.one(x).reshape(1, 32)).expand(4, 8)


@pytest.mark.parametrize("name", ["round-to-nearest", "gptq", "gpfq"])
def test_batches_that_a_forward_insists_on_are_taken_as_they_come(name):
    network = sq.Network(Fixed(), X[:4])
    given = [X[start : start + 4] for start in range(0, 24, 4)]
    report = sq.compress(network, sq.METHODS[name](bits=3), given).report
    assert report.inputs == 24 and 0 < report.relative_output_error < 1 and not report.note
    assert sq.compress(network, sq.METHODS[name](bits=3), X[:4]).report.inputs == 4
    with pytest.raises(sq.InputError, match="calibration inputs must be accepted by the network"):
        sq.compress(network, sq.METHODS[name](), X)


class Itself(nn.Linear):
    def __deepcopy__(self, memo):
        return self


class Silent(nn.Linear):
    def eval(self):
        super().eval()

    def requires_grad_(self, *_):
        super().requires_grad_(*_)


def test_what_copies_and_switches_modes_in_its_own_way():
    with pytest.raises(sq.InputError, match="must be one that can be copied, got Sequential, whose copy is itself"):
        sq.Network(nn.Sequential(Itself(8, 3)), X)
    own = Silent(8, 3)
    assert not sq.Network(own, X).module.training and own.training and own.weight.requires_grad


class Strided(nn.Module):
    """Keeps tensors that do not lie as they read: an expanded buffer, a turned parameter."""

    def __init__(self):
        super().__init__()
        self.layer, self.turned = nn.Linear(8, 6), nn.Parameter(torch.randn(6, 3).t())
        self.register_buffer("wide", torch.ones(1).expand(4, 8))

    def forward(self, x):
        return self.layer(x * self.wide[0]) @ self.turned.t()


def test_tensors_that_lie_in_another_order_are_stored_as_they_read(tmp_path):
    network = sq.Network(Strided(), X)
    result = sq.compress(network, sq.METHODS["round-to-nearest"](), X)
    result.save(tmp_path / "small.sdq")
    again = sq.load(tmp_path / "small.sdq", network)
    np.testing.assert_array_equal(again.outputs(X), result.network.outputs(X))
