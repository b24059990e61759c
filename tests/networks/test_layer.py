"""Layers: the matrix view reproduces torch's forward pass, and walking a module finds each weight once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import sdqviz as sq
from sdqviz.networks.layer import find_layers, from_vectors, to_vectors


def group_matrices(vectors: np.ndarray, groups: int, axis: str) -> list[np.ndarray]:
    """Put vectors together to the matrix W of each group, shape (out/groups, in_per_group·kernel)."""
    parts = np.split(vectors, groups)
    return [part.T for part in parts] if axis == "columns" else parts


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 3))
    sizes = st.tuples(st.integers(1, 3), st.integers(1, 3))
    return {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 4)),
        "kernel_size": draw(sizes),
        "stride": draw(sizes),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "groups": groups,
        "bias": draw(st.booleans()),
    }


@given(shape=convolutions(), axis=st.sampled_from(["columns", "rows"]), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_matrix_view_of_conv2d_gives_the_forward_pass(shape, axis, seed):
    conv = nn.Conv2d(**shape).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.randn(2, shape["in_channels"], 7, 8, dtype=torch.float64)
    (layer,) = find_layers(nn.Sequential(conv))
    assert (layer.name, layer.kind, layer.groups) == ("0", "Conv2d", shape["groups"])
    vectors = layer.vectors(axis)
    assert vectors.shape == (layer.count(axis), layer.dimension(axis))
    patches = functional.unfold(x, conv.kernel_size, conv.dilation, conv.padding, conv.stride)
    parts = np.split(patches.numpy(), layer.groups, axis=1)
    by_group = [w @ z for w, z in zip(group_matrices(vectors, layer.groups, axis), parts, strict=True)]
    result = np.concatenate(by_group, axis=1)
    if layer.bias is not None:
        result = result + layer.bias[:, None]
    expected = conv(x).detach().numpy()
    assert np.allclose(result.reshape(expected.shape), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_matrix_view_of_conv1d_and_linear(groups, axis):
    conv = nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=groups).double()
    dense = nn.Linear(5, 3).double()
    conv_layer, dense_layer = find_layers(nn.Sequential(conv, dense))
    x = torch.randn(2, 4, 11, dtype=torch.float64)
    patches = functional.unfold(x[:, :, None], (1, 3), (1, 2), (0, 1), (1, 2)).numpy()
    by_group = zip(
        group_matrices(conv_layer.vectors(axis), groups, axis), np.split(patches, groups, axis=1), strict=True
    )
    result = np.concatenate([w @ z for w, z in by_group], axis=1) + conv_layer.bias[:, None]
    assert np.allclose(result, conv(x).detach().numpy(), rtol=0, atol=1e-12)
    (matrix,) = group_matrices(dense_layer.vectors(axis), 1, axis)
    z = torch.randn(4, 5, dtype=torch.float64)
    assert np.allclose(z.numpy() @ matrix.T + dense_layer.bias, dense(z).detach().numpy(), rtol=0, atol=1e-12)


@given(
    groups=st.integers(1, 12),
    per_group=st.integers(1, 5),
    rest=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    axis=st.sampled_from(["columns", "rows"]),
    order=st.sampled_from("CF"),
    dtype=st.sampled_from([np.float64, np.float32, np.int16]),
    fixed=st.booleans(),
)
def test_round_trip_is_exact(groups, per_group, rest, axis, order, dtype, fixed):
    shape = (groups * per_group, *rest)
    weight = np.array(100 * np.random.default_rng(0).standard_normal(shape), dtype, order=order)
    weight.setflags(write=not fixed)
    vectors = to_vectors(weight, groups, axis)
    assert vectors.flags.c_contiguous
    assert not np.shares_memory(vectors, weight)
    expected = (groups * int(np.prod(rest)), per_group) if axis == "columns" else (shape[0], int(np.prod(rest)))
    assert vectors.shape == expected and vectors.dtype == dtype
    rows = weight.reshape(shape[0], -1)
    if axis == "columns":
        naive = [rows[g * per_group : (g + 1) * per_group, k] for g in range(groups) for k in range(rows.shape[1])]
        assert np.array_equal(vectors, naive)
    back = from_vectors(vectors, shape, groups, axis)
    assert np.array_equal(back, weight)
    if axis == "rows":
        assert np.shares_memory(back, vectors), "rows stay where they lie"
    side_by_side = np.asfortranarray(vectors)
    again = from_vectors(side_by_side, shape, groups, axis)
    assert np.array_equal(again, weight)
    assert axis == "rows" or groups > 1 or np.shares_memory(again, side_by_side), "so do columns that lie side by side"


def test_bad_axis_and_shape_are_refused():
    with pytest.raises(sq.InputError, match="axis must be 'columns' or 'rows', got 'both'"):
        to_vectors(np.zeros((2, 2)), 1, "both")
    with pytest.raises(sq.InputError, match=r"vectors must have shape \(3, 2\) .* got \(2, 3\)"):
        from_vectors(np.zeros((2, 3)), (2, 3), 1, "columns")


class Mixed(nn.Module):
    """An embedding tied to the output, two tied layers, a normalisation and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.first = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.up = nn.ConvTranspose1d(4, 4, 3)
        self.output = nn.Linear(4, 10, bias=False)
        self.output.weight = self.embedding.weight
        self.last = nn.Conv1d(4, 2, 1)


def test_each_weight_is_met_once_in_order_and_others_are_left_alone():
    layers = find_layers(Mixed())
    assert [(layer.name, layer.kind) for layer in layers] == [("first", "Linear"), ("last", "Conv1d")]


def test_a_transposed_view_of_a_weight_is_tied_too():
    first, second = nn.Linear(3, 5), nn.Linear(5, 3)
    second.weight = nn.Parameter(first.weight.data.t())
    assert [layer.name for layer in find_layers(nn.Sequential(first, second))] == ["0"]


def test_arrays_are_float64_copies_and_read_only():
    linear = nn.Linear(3, 2)
    (layer,) = find_layers(nn.Sequential(linear))
    assert layer.weight.dtype == np.float64
    assert np.array_equal(layer.weight, linear.weight.detach().numpy())
    before = layer.weight.copy()
    with torch.no_grad():
        linear.weight.zero_()
    assert np.array_equal(layer.weight, before)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", ["weight", "bias"])
def test_values_that_are_not_finite_are_refused_by_name(value, which):
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    with torch.no_grad():
        getattr(module[1], which).view(-1)[1] = value
    with pytest.raises(sq.InputError, match=f"layer '1' must have a finite {which}, got 1 entries"):
        find_layers(module)


def test_weights_that_are_not_plain_are_refused():
    parametrized = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    with pytest.raises(sq.InputError, match="layer '0' must hold its weight as a plain parameter"):
        find_layers(parametrized)
    with pytest.raises(sq.InputError, match=r"layer '0' must hold real floating-point numbers.*complex64"):
        find_layers(nn.Sequential(nn.Linear(3, 2, dtype=torch.complex64)))
    with pytest.raises(sq.InputError, match=r"layer '0' must hold .* on device meta"):
        find_layers(nn.Sequential(nn.Linear(3, 2, device="meta")))


def test_given_numbers_are_taken_instead_of_the_modules_and_what_the_module_cannot_hold_is_refused():
    network = sq.Network(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2))
    weight = np.array([[1 / 3, -0.0], [2.0, 1e-50]])
    (layer,) = network.replaced({"0": weight}).layers
    np.testing.assert_array_equal(layer.weight, weight)  # a third is no float32, and the last is none but 0
    assert network.replaced({"0": weight}).module[0].weight[1, 1] == 0
    with pytest.raises(sq.InputError, match=r"layer '0' must have a finite weight, got 1 entries"):
        _ = network.replaced({"0": weight * 1e38 * 2}).layers
