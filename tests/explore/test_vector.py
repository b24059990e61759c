import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import sdqviz as sq
from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.explore import pasted, shipped_weights, vector


def plain_loop(x, bits, step):
    """First-order ΣΔ written out, one step after the other; what lies on a threshold up to rounding goes up."""
    half, u, levels = 2 ** (bits - 1), 0.0, []
    for value in x:
        near = 1e-9 * max(abs(u + value), step)
        k = min(max(np.floor((u + value + near) / step), -half), half - 1)
        levels.append((k + 0.5) * step)
        u = u + value - levels[-1]
    return np.array(levels)


@settings(max_examples=60)
@given(
    family=st.sampled_from(["harmonic", "half-frequency", "random"]),
    dimension=st.integers(1, 5).map(lambda k: 2 * k),
    extra=st.integers(1, 40),
    bits=st.integers(1, 4),
    rule=st.sampled_from(["range", "norm"]),
    seed=st.integers(0, 1000),
)
def test_run_agrees_with_matrices_and_a_plain_loop(family, dimension, extra, bits, rule, seed):
    frame = sq.FRAMES[family](dimension=dimension, size=dimension + extra).build(seed)
    order = np.random.default_rng(seed).permutation(frame.size)
    x = np.random.default_rng(seed + 1).standard_normal(dimension)
    run = vector.run(x, frame, order, bits, rule)

    matrix = frame.vectors[order]
    coefficients = matrix @ x
    largest = np.abs(coefficients).max() if rule == "range" else np.linalg.norm(x)
    np.testing.assert_allclose(run.step, largest / (2 ** (bits - 1) - 0.5), rtol=1e-12)
    levels = plain_loop(run.trace.coefficients, bits, run.step)
    np.testing.assert_array_equal(run.trace.quantized, levels)
    dual = np.linalg.pinv(matrix).T
    np.testing.assert_allclose(run.reconstruction, dual.T @ levels, atol=1e-9 * run.norm)
    left = np.cumsum(dual * (run.trace.coefficients - levels)[:, None], axis=0)
    np.testing.assert_allclose(run.running_error, np.linalg.norm(left, axis=1), atol=1e-9 * run.norm)
    np.testing.assert_allclose(run.running_error[-1], run.error, atol=1e-9 * run.norm)
    np.testing.assert_allclose(run.rounded_running_error[-1], run.rounded_error, atol=1e-9 * run.norm)
    np.testing.assert_allclose(run.true_sums[-1], x[:3], atol=1e-9 * run.norm)
    assert (run.running_error <= run.running_bound * (1 + 1e-9)).all()
    assert run.tightest.holds and run.error <= run.tightest.value * (1 + 1e-9)


def test_bits_and_plain_rounding_are_counted_per_original_weight():
    frame = sq.FRAMES["harmonic"](dimension=8, size=21).build()
    run = vector.run(np.arange(1.0, 9.0), frame, np.arange(21), 2, "range")
    assert run.bits_per_weight == 21 * 2 / 8 + 32 / 8
    assert run.plain_bits == 5  # the most whole bits within 42/8
    assert np.abs(run.vector - run.plain).max() <= 8 / (2**5 - 1) + 1e-12
    assert len(np.unique(run.plain)) <= 2**5


def test_a_small_step_overloads_and_the_steps_are_named():
    frame = sq.FRAMES["harmonic"](dimension=4, size=40).build()
    run = vector.run(np.ones(4), frame, np.arange(40), 1, 0.2)
    assert not run.trace.stable and run.overload == len(run.overloaded()) > 0
    assert not any(bound.holds for bound in run.bounds)


@pytest.mark.parametrize(
    ("network", "layer", "column", "tensor"),
    [("mnist-fnn-seed0", 1, 400, "hidden1.weight"), ("mnist-residual-seed1", 6, 3, "output.weight")],
)
def test_weight_columns_are_those_of_the_shipped_network(network, layer, column, tensor):
    with safe_open(asset.path(f"networks/{network}.safetensors"), "numpy") as file:
        expected = file.get_tensor(tensor)[:, column]
    np.testing.assert_array_equal(shipped_weights.weight_column(network, layer, column), expected.astype(float))


def test_every_shipped_network_gives_its_layers_from_input_to_output():
    for name in vector.VectorChoice.specs()["network"].option_names():
        widths = [matrix.shape for _, matrix in shipped_weights.weight_matrices(name)]
        assert len(widths) >= 3 and widths[-1][0] == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1, two, 3", "'two' as entry 2"),
        ("1, nan", "must be finite, got 'nan'"),
        ("1 inf", "must be finite"),
        ("", "got 0"),
        ("7", "got 1"),
        (" ".join(["1"] * 1025), "got 1025"),
    ],
)
def test_pasted_text_that_is_no_vector_is_refused_in_one_sentence(text, message):
    with pytest.raises(InputError, match="numbers") as caught:
        pasted.parse_vector(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["1, 2\n3", "1, x\n2, 3", "\n"])
def test_rows_of_unequal_length_are_refused(text):
    with pytest.raises(InputError):
        pasted.parse_rows(text)


def test_zero_vector_and_wrong_places_are_refused():
    frame = sq.FRAMES["harmonic"](dimension=4, size=9).build()
    with pytest.raises(InputError, match="must not be zero"):
        vector.run(np.zeros(4), frame, np.arange(9), 1, "range")
    with pytest.raises(InputError, match="layer must be between 1 and 3"):
        shipped_weights.weight_column("mnist-fnn-seed0", 4, 0)
    with pytest.raises(InputError, match="column must be between 0 and 255"):
        shipped_weights.weight_column("mnist-fnn-seed0", 2, 256)
