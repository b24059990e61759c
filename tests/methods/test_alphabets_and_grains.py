"""Every alphabet and every grain of scales with every method that has them: exact and counted."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

import sdqviz as sq
from sdqviz.methods.calibrated.scale import SCALES
from sdqviz.quantizers.quantizer import ALPHABETS
from sdqviz.storage.bits import unpack_steps

METHODS = {
    "round-to-nearest": {}, "gpfq": {}, "spfq": {}, "unified": {"operator": "quantize"}, "gptq": {}, "qronos": {},
    "magnitude-pruning": {"pruning_ratio": 0.3},
}  # fmt: skip
CASES = [(name, alphabet, scale) for name in METHODS for alphabet in ALPHABETS for scale in ("per-neuron", "per-32")]


def network(bias: float = 0.0) -> sq.Network:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(70, 12), nn.Tanh(), nn.Linear(12, 5))
    with torch.no_grad():
        module[0].weight += bias
    return sq.Network(module, torch.zeros(1, 70))


def inputs(count: int = 120) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 70)).astype(np.float32)


@pytest.mark.parametrize(("name", "alphabet", "scale"), CASES)
def test_weights_are_levels_and_what_is_stored_decodes_to_them(name, alphabet, scale, tmp_path):
    given = network()
    method = sq.METHODS[name](bits=3, alphabet=alphabet, scale=scale, step_bits="16", **METHODS[name])
    result = sq.compress(given, method, inputs())
    for item in result.layers:
        weight, _ = method.decode(item.stored, item.parameters, item.layer.weight.shape, 1)
        assert_array_equal(weight, item.weight)
        steps = unpack_steps(item.stored["step"])
        width, per_block = weight.shape[1], steps.ndim == 2
        assert per_block == (scale == "per-32" and width > 32)
        each = steps[np.arange(width) // 32].T if per_block else np.broadcast_to(steps[:, None], weight.shape)
        places = weight[weight != 0] / each[weight != 0] - (0.5 if alphabet == "midrise" else 0.0)
        assert_array_equal(places, np.rint(places))
        for row, step in zip(weight, each, strict=True):
            for start in range(0, width, 32 if per_block else width):
                own = np.unique((row / step)[start : start + (32 if per_block else width)])
                assert len(own) <= 2**3 + (name == "magnitude-pruning" and alphabet == "midrise")
                assert np.ptp(own) <= 7
    path = tmp_path / "small.sdq"
    result.save(path)
    assert_array_equal(sq.load(path, given).outputs(inputs(9)), result.network.outputs(inputs(9)))


SIXTEEN = {name: values | {"bits": 3, "step_bits": "16"} for name, values in METHODS.items()} | {
    "frame": {"redundancy": 2, "bits": 2, "step_bits": "16", "step_rule": "range-column"},
    "frame-calibrated": {"bits": 2},
    "frame-columns": {"bits": 2},
}


@pytest.mark.parametrize("name", SIXTEEN)
@pytest.mark.parametrize("exponent", [-100, -30, 95])
def test_steps_of_16_bits_follow_the_weights_whatever_their_size(name, exponent):
    def errors(factor: float) -> list[float]:
        given = network()
        with torch.no_grad():
            for part in (given.module[0], given.module[2]):
                part.weight *= factor
        scaled = sq.Network(given.module, torch.zeros(1, 70))
        return [
            row.weight_error for row in sq.compress(scaled, sq.METHODS[name](**SIXTEEN[name]), inputs(20)).report.layers
        ]

    before, after = errors(1.0), errors(2.0**exponent)
    np.testing.assert_allclose(after[0], before[0], rtol=0.05)  # steps of eight digits are up to 2⁻⁷ larger
    assert 0 < after[1] < 0.9


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("step_bits", ["16", "32"])
def test_steps_and_zero_points_are_counted(scale, alphabet, step_bits):
    method = sq.METHODS["round-to-nearest"](bits=4, alphabet=alphabet, scale=scale, step_bits=step_bits)
    first = sq.compress(network(), method, inputs()).layers[0]
    steps = {"per-layer": 1, "per-neuron": 12, "per-128": 12, "per-64": 2 * 12, "per-32": 3 * 12}[scale]
    zeros = 4 * steps if alphabet == "affine" else 0
    block = 8 * (scale in ("per-64", "per-32"))
    assert first.bits == 12 * 70 * 4 + steps * int(step_bits) + -(-zeros // 8) * 8 + 8 + block


@pytest.mark.parametrize("name", ["round-to-nearest", "gptq", "gpfq"])
@pytest.mark.parametrize("bias", [0.0, 0.2])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_auto_is_as_good_as_the_best_alphabet(name, bias, bits):
    given, x = network(bias), inputs()

    def error(alphabet: str) -> float:
        layer = sq.compress(given, sq.METHODS[name](bits=bits, alphabet=alphabet), x).layers[0]
        return float(np.linalg.norm(x.astype(float) @ (layer.layer.weight - layer.weight).T))

    best = min(error(alphabet) for alphabet in (ALPHABETS if bits > 1 else ("midrise",)))
    assert error("auto") <= 1.05 * best  # zero points must be worth their bits


def test_smaller_groups_err_less_where_weights_differ_in_size_along_the_inputs():
    given = network()
    with torch.no_grad():
        given.module[0].weight[:, :32] *= 20
    given = sq.Network(given.module, torch.zeros(1, 70))
    for name in ("round-to-nearest", "gptq", "spfq"):
        coarse, fine = (
            sq.compress(given, sq.METHODS[name](bits=3, scale=scale), inputs()).report.layers[0].relative_error
            for scale in ("per-neuron", "per-32")
        )
        assert fine < 0.9 * coarse


def test_without_data_the_alphabet_is_chosen_by_the_weights():
    method = sq.METHODS["round-to-nearest"](bits=3)
    found = sq.compress(network(0.2), method, calibration=0).layers[0]
    errors = {
        alphabet: np.linalg.norm(
            sq.compress(network(0.2), sq.METHODS["round-to-nearest"](bits=3, alphabet=alphabet), 0).layers[0].weight
            - found.layer.weight
        )
        for alphabet in ALPHABETS
    }
    assert np.linalg.norm(found.weight - found.layer.weight) <= 1.01 * min(errors.values())


def test_a_step_that_cannot_be_stored_is_blamed_and_not_the_weight():
    module = nn.Sequential(nn.Linear(4, 3, bias=False))
    with torch.no_grad():
        module[0].weight[:] = torch.finfo(torch.float32).max
    given = sq.Network(module, torch.zeros(1, 4))
    x = np.ones((5, 4), np.float32)
    for name in ("round-to-nearest", "gptq"):
        with pytest.raises(sq.InputError, match="layer 0: steps stored in 16 bits must be below 3"):
            sq.compress(given, sq.METHODS[name](bits=2, step_bits="16", fit="max", alphabet="midtread"), x)
    with pytest.raises(sq.InputError, match="layer 0: steps stored in 32 bits must be below"):
        sq.compress(
            sq.Network(module, torch.zeros(1, 4)), sq.METHODS["round-to-nearest"](bits=1, alphabet="midrise"), 0
        )


@pytest.mark.parametrize("name", ["gpfq", "spfq", "gptq", "qronos"])
def test_one_sample_and_corrected_biases_leave_weights_that_are_rounded(name):
    """With one sample every input is constant: its weights are rounded, and the bias takes what that does."""
    given, x = network(), inputs(1)
    result = sq.compress(given, sq.METHODS[name](bits=5, biases="corrected"), x)
    for row in result.report.layers:
        assert row.sparsity < 0.5 and row.weight_error < 0.3
    assert result.report.relative_output_error < 1e-5
    other = inputs(200)[100:]
    before, after = given.outputs(other), result.network.outputs(other)
    assert np.linalg.norm(before - after) < 0.3 * np.linalg.norm(before - before.mean(axis=0))


@pytest.mark.parametrize("name", ["gptq", "qronos"])
def test_dead_inputs_change_nothing_for_the_living(name):
    """The damping is a share of the living inputs' mean: adding dead ones must not weaken it."""
    torch.manual_seed(0)
    narrow = nn.Linear(10, 6)
    wide = nn.Linear(40, 6)
    with torch.no_grad():
        wide.weight[:, :10], wide.bias[:] = narrow.weight, narrow.bias
    x = np.random.default_rng(2).standard_normal((50, 10)).astype(np.float32)
    padded = np.concatenate([x, np.zeros((50, 30), np.float32)], axis=1)
    few, many = (
        sq.compress(sq.Network(nn.Sequential(part), torch.zeros(1, data.shape[1])), sq.METHODS[name](bits=3), data)
        for part, data in ((narrow, x), (wide, padded))
    )
    assert_array_equal(many.layers[0].weight[:, :10], few.layers[0].weight)
    assert not many.layers[0].weight[:, 10:].any()


@pytest.mark.parametrize("name", ["gpfq", "unified"])
def test_inputs_that_the_data_never_used_are_told(name):
    given = network()
    x = inputs(30)
    assert "were" not in sq.compress(given, sq.METHODS[name](), x).report.note
    x[:, : x.shape[1] * 3 // 4] = 0
    first, *_ = sq.compress(given, sq.METHODS[name](), x).layers
    assert f"of {x.shape[1]} inputs are 0 on all 30 rows of calibration, so their weights became 0" in first.note


def test_the_compressed_layer_is_blamed_for_what_it_does_and_not_the_data():
    def network_of(scale: float, kind: torch.dtype) -> sq.Network:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(8, 6, bias=False), nn.Linear(6, 3, bias=False)).to(kind)
        with torch.no_grad():
            module[0].weight.copy_(torch.rand(6, 8).clamp(0.2) * scale)
        return sq.Network(module, torch.zeros(1, 8, dtype=kind))

    x = np.full((5, 8), 1e-4, np.float32)
    with pytest.raises(sq.InputError, match="layer 0: its compressed weight must stay in the range of float16, got"):
        sq.compress(network_of(6e4, torch.float16), sq.METHODS["gpfq"](bits=1, fit="max", stretch=3.0), x)

    def compressed(scale: float) -> np.ndarray:
        return sq.compress(network_of(scale, torch.float32), sq.METHODS["unified"](), x).layers[0].weight / scale

    assert_allclose(compressed(2.0**100), compressed(1.0), rtol=1e-6)  # no threshold stands in the way
