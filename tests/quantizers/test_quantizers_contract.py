"""What every registered quantizer promises: levels of the alphabet, its error limit, no bias or no randomness."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sdqviz as sq
from sdqviz.path_following.walk import walk
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice

STEP = np.array([0.3, 0.5, 1.0])
CUT = 0.8


def choices() -> list[tuple[QuantizerChoice, Grid]]:
    found = []
    for name in sorted(QUANTIZERS):
        choice = QUANTIZERS.from_dict(
            {"name": name} | ({"threshold": CUT} if "threshold" in QUANTIZERS[name].specs() else {})
        )
        grids = [Grid.finite("midrise", 1, 8 * STEP)]
        if name != "one-bit":
            grids = [make("midtread", 5) for make in (lambda a, b: Grid.finite(a, b, STEP),)]
            grids += [Grid.finite("midrise", 4, STEP), Grid.infinite("midtread", STEP), Grid.infinite("midrise", STEP)]
        found += [(choice, grid) for grid in grids]
    return found


CASES = pytest.mark.parametrize(
    ("choice", "grid"), choices(), ids=lambda value: getattr(value, "name", None) or f"{value.count}-{value.offset}"
)


def in_range(grid: Grid, count: int) -> np.ndarray:
    """Values that no level is missing for, shape (count, 3)."""
    reach = np.minimum(grid.radius, 3.0)
    return np.linspace(-1, 1, count)[:, None] * reach


@CASES
def test_output_is_a_level_or_what_the_threshold_leaves(choice, grid):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 3, (500, 3))
    got = choice.apply(values, grid, rng.random(values.shape))
    index = grid.index(got)
    is_level = ((index + grid.offset) * grid.step == got) & (index >= grid.lowest) & (index <= grid.highest)
    if choice.rounds:
        assert (is_level | (got == 0) | (np.abs(got) == choice.cut)).all()
    if choice.cut == 0:
        assert is_level.all()
    else:
        assert (got == 0).any()


@CASES
def test_error_stays_within_its_limit_in_range(choice, grid):
    rng = np.random.default_rng(1)
    values = in_range(grid, 999)
    error = np.abs(choice.apply(values, grid, rng.random(values.shape)) - values)
    assert not choice.overloaded(values, grid).any()
    limit = choice.error_limit(grid)
    assert (error <= limit * (1 + 1e-9)).all()
    assert (error.max(axis=0) >= 0.4 * limit).all()  # the limit says something


@CASES
def test_random_ones_are_right_on_average_and_the_others_need_no_draws(choice, grid):
    values = in_range(grid, 41)
    uniform = (np.arange(4000)[:, None, None] + 0.5) / 4000
    got = choice.apply(values[None], grid, np.broadcast_to(uniform, (4000, *values.shape)))
    if choice.random:
        assert_allclose(got.mean(axis=0), values, atol=1.01 * (got.max() - got.min()) / 4000)
        assert (np.ptp(got, axis=0) > 0).any()
    else:
        assert_array_equal(got, np.broadcast_to(got[0], got.shape))
        assert (np.diff(got[0], axis=0) >= 0).all()  # monotone


@CASES
def test_compiled_rule_is_the_same_operator(choice, grid):
    rng = np.random.default_rng(2)
    values = rng.normal(0, 2, (300, 3))
    keys = np.array([1, 2, 3], np.uint64)
    from sdqviz.kernels import draws

    expected = choice.apply(values, grid, draws.uniforms(keys, np.arange(300)[:, None]))
    got = walk(values, np.zeros((300, 300)), np.ones(300), choice, grid, keys)
    assert_array_equal(got.quantized, expected)
    assert_array_equal(got.overload, choice.overloaded(values, grid).sum(axis=0))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_levels_by_hand(bits):
    half = 2 ** (bits - 1)
    grid = Grid.finite("midrise", bits, 2.0)
    every = np.array([(k + 0.5) * 2 for k in range(-half, half)])
    assert grid.count == len(every) == 2**bits
    assert_array_equal(grid.nearest(every[:, None]).ravel(), every)
    assert_array_equal(grid.nearest(np.array([[-99.0], [99.0]])).ravel(), every[[0, -1]])
    if bits > 1:
        tread = Grid.finite("midtread", bits, 2.0)
        assert tread.count == 2**bits - 1 and tread.radius[0] == 2 * (half - 1)
        assert_array_equal(tread.nearest(np.array([[0.9], [1.0], [-99.0]])).ravel(), [0, 2, -2 * (half - 1)])


def test_bad_input_is_refused():
    with pytest.raises(sq.InputError, match="use midrise"):
        Grid.finite("midtread", 1, 1.0)
    with pytest.raises(sq.InputError, match="bits must be between 1 and 16, got 0"):
        Grid.finite("midrise", 0, 1.0)
    with pytest.raises(sq.InputError, match="alphabet must be one of"):
        Grid.finite("midway", 2, 1.0)
    with pytest.raises(sq.InputError, match="2 levels, got 15"):
        QUANTIZERS["one-bit"]().apply(np.zeros((1, 1)), Grid.finite("midtread", 4, 1.0), np.zeros(1))
    with pytest.raises(sq.InputError, match="threshold must be at least 0"):
        QUANTIZERS.from_dict({"name": "prune", "threshold": -1.0})
