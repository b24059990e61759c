"""Odd things given as modules and inputs: taken as what they are, or refused in one sentence at the door."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.compression import export

X = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))
ROUNDING = sq.METHODS["round-to-nearest"]


class Through(nn.Module):
    """A layer and what some function makes of its inputs."""

    def __init__(self, make, **kept):
        super().__init__()
        self.make, self.kept, self.layer = make, kept, nn.Linear(8, 3)

    def forward(self, x):
        return self.layer(self.make(self, x))


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda x: x.numpy().astype(object), "type object"),
        (lambda x: x.numpy().astype(str), "type <U"),
        (lambda x: np.ma.masked_less(x.numpy(), 0.0), "masked entries"),
        (torch.Tensor.to_sparse, "layout torch.sparse_coo"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "type torch.qint8"),
        (lambda x: x.to("meta"), "the meta device"),
    ],
    ids=["objects", "texts", "masked", "sparse", "quantized", "meta"],
)
@pytest.mark.filterwarnings("ignore:.*quantiz.*")
def test_what_holds_no_dense_numbers_is_refused_at_both_doors(make, got):
    network, given = sq.Network(nn.Linear(8, 3), X), make(X)
    need = "must be real numbers in dense arrays or tensors, got"
    with pytest.raises(sq.InputError, match=rf"calibration {need} .*{got}"):
        sq.compress(network, ROUNDING(), given)
    with pytest.raises(sq.InputError, match=rf"example_input {need} .*{got}"):
        sq.Network(nn.Linear(8, 3), given)


@pytest.mark.parametrize(
    ("module", "bare"),
    [
        (nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8)), X[0]),
        (nn.Conv2d(3, 3, 3), X.reshape(3, 8, 8)),
        (nn.Conv1d(3, 3, 1), X[:3]),
    ],
    ids=["dense", "conv2d", "conv1d"],
)
def test_one_input_without_a_batch_axis_is_asked_for_it(module, bare):
    with pytest.raises(sq.InputError, match=r"example_input must have a batch axis first, got .*: give x\[None\]"):
        sq.Network(module, bare)
    network = sq.Network(module, bare[None])
    with pytest.raises(sq.InputError, match=r"calibration must have a batch axis first, got .*: give x\[None\]"):
        sq.compress(network, ROUNDING(), bare)
    assert sq.compress(network, ROUNDING(), bare[None]).report.inputs == 1


def test_a_batch_of_numbers_and_a_forward_that_takes_the_mean_of_its_inputs_have_one():
    wide = Through(lambda _, x: x[:, None].expand(-1, 8))
    assert sq.compress(sq.Network(wide, X[:, 0]), ROUNDING(), X[:, 0]).report.inputs == 24
    assert sq.Network(Through(lambda _, x: x.mean(0)), X).outputs(X).shape == (3,)


def test_outputs_and_weights_must_be_there_as_dense_numbers():
    class Nothing(nn.Linear):
        def forward(self, x):
            return super().forward(x)[:, :0]

    with pytest.raises(sq.InputError, match=r"must return at least one number, got an output of shape \(24, 0\)"):
        sq.Network(Nothing(8, 3), X)
    module = nn.Sequential(nn.Linear(8, 3))
    module[0].weight = nn.Parameter(module[0].weight.detach().to_sparse())
    with pytest.raises(sq.InputError, match=r"dense weights, got 0.weight of layout torch.sparse_coo: call to_dense"):
        sq.Network(module, X)


@pytest.mark.slow  # loads the compiler
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "a part"])
def test_compiled_modules_are_taken_as_they_were(whole):
    inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    module = torch.compile(inner, backend="eager")
    module = module if whole else nn.Sequential(module, nn.Linear(8, 3))
    network = sq.Network(module, X)
    assert network.structure.applicable and network.layer_names[0].endswith("_orig_mod.0")
    report = sq.compress(network, sq.METHODS["gptq"](bits=3), X).report
    assert len(report.layers) == len(network.layer_names) and 0 < report.relative_output_error < 0.5
    assert export.safetensors(network).count(b"_orig_mod.0.weight") == 1
    assert type(module if whole else module[0]).__name__ == "OptimizedModule"


def held(kind):
    return lambda self, x: x + torch.as_tensor(self.kept[kind].random(), dtype=x.dtype)


def of_torch(self, x):
    return x + torch.rand(x.shape, generator=self.kept["torch"], dtype=x.dtype)


OUTSIDE = torch.Generator().manual_seed(5)


@pytest.mark.parametrize(
    "draw",
    [held("numpy"), held("python"), lambda s, x: x + float(s.kept["old"].rand()), of_torch,
     lambda _, x: x + torch.rand(x.shape, generator=OUTSIDE, dtype=x.dtype)],
    ids=["numpy", "python", "numpy, old", "torch", "torch, outside"],
)  # fmt: skip
def test_generators_of_a_modules_own_are_no_error_and_stay_where_they_were(draw):
    kept = {
        "numpy": np.random.default_rng(1), "python": random.Random(2), "torch": torch.Generator().manual_seed(3),
        "old": np.random.RandomState(4),
    }  # fmt: skip
    places = (
        OUTSIDE.get_state(),
        kept["torch"].get_state(),
        kept["python"].getstate(),
        repr(kept["numpy"].bit_generator.state),
    )
    network = sq.Network(Through(draw, **kept), X)
    report = sq.compress(network, ROUNDING(bits=16), torch.ones(24, 8)).report
    assert report.relative_output_error < 1e-3 and report.note
    assert np.array_equal(network.outputs(X), network.outputs(X))
    assert torch.equal(places[0], OUTSIDE.get_state()) and torch.equal(places[1], kept["torch"].get_state())
    assert places[2] == kept["python"].getstate() and places[3] == repr(kept["numpy"].bit_generator.state)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["round-to-nearest", "gptq", "frame"])
def test_layers_that_vmap_calls_are_given_all_its_inputs(name, axis):
    torch.manual_seed(0)
    module = Through(lambda _, x: x)
    mapped = Mapped(module.layer, axis)
    plain, other = (sq.compress(sq.Network(one, X), sq.METHODS[name](), X).report for one in (module, mapped))
    assert other.layers[0].relative_error == pytest.approx(plain.layers[0].relative_error, rel=1e-6)
    assert other.relative_output_error == pytest.approx(plain.relative_output_error, rel=1e-6)


class Mapped(nn.Module):
    """A layer that is called for one input at a time, as ``torch.func`` writes it."""

    def __init__(self, layer, axis):
        super().__init__()
        self.layer, self.axis = layer, axis

    def forward(self, x):
        return torch.func.vmap(self.layer, in_dims=self.axis)(x if self.axis == 0 else x.T)
