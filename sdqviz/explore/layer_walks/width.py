"""Layers with Gaussian weights: error and bits against the width."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.bounds import path as path_bound
from sdqviz.bounds.path import Operator, PathLayer
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.kernels import draws
from sdqviz.path_following import walk as recursion
from sdqviz.path_following.feedback import path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.quantizers.quantizer import Grid

WIDTHS = (256, 362, 512, 724, 1024)
"""Widths of the experiment with Gaussian weights."""


NOMINAL = 3.0
"""The largest of Gaussian weights, as it is taken for δ and c, in standard deviations."""


WIDTH_SAMPLES, WIDTH_NEURONS = 64, 48
"""Samples m and neurons of that experiment: N has to be several times m for the error to settle, and fewer samples
leave the bound nothing to say about ‖Xw‖."""


@dataclasses.dataclass(frozen=True, eq=False)
class WidthRun:
    """The error of layers with Gaussian weights against their width, with the same δ, c and C for all.

    Attributes
    ----------
    widths : ndarray of int, shape (k,)
        N.
    samples, neurons : int
        m, and neurons of each width.
    errors : ndarray, shape (k, neurons)
        ‖Xw − Xq‖²/‖Xw‖² of each neuron.
    bound : ndarray, shape (k,)
        What it keeps below with probability 1 − γ, for all neurons; infinite where nothing is known.
    slope, interval : float
        Of log(mean error) against log N by least squares, and half of its 95 % interval.
    reach : ndarray, shape (k,)
        max|v_t| over the neurons.
    step : float
        δ, in standard deviations of the weights.
    far : ndarray of int, shape (j,)
        Widths of the curve of bits.
    bits, far_bits : ndarray
        log2(2K+1) that held all values, measured at ``widths``, and that suffice with probability 1 − γ, at ``far``.
        Empty for operators without an endless alphabet.
    """

    widths: Index
    samples: int
    neurons: int
    errors: Array
    bound: Array
    slope: float
    interval: float
    reach: Array
    step: float
    far: Index
    bits: Array
    far_bits: Array


def width_experiment(choice: WalkChoice, seed: int) -> WidthRun:
    """Quantize ever wider layers of Gaussian weights with the operator, the levels, c and C of a choice.

    The largest weight, from which δ and c follow, is taken as `NOMINAL` standard deviations at every width. The
    inputs are Gaussian too, their columns scaled to one norm; m is fixed, since the error settles only when N is
    several times m.
    """
    step = float(dataclasses.replace(choice, finite=False).grid(NOMINAL).step[0])
    cut = float(np.float32(choice.threshold * NOMINAL)) if choice.prunes else 0.0
    return _widths(choice.operator, choice.level_bits, step, cut, choice.scaling, choice.failure, seed)


@functools.lru_cache(maxsize=16)
def _widths(operator: str, bits: int, step: float, cut: float, scaling: float, failure: float, seed: int) -> WidthRun:
    # the cut is given, so the choice only names the operator
    quantizer = WalkChoice(operator=operator).quantizer(cut)
    one_bit = operator == "one-bit"
    steps = np.full(WIDTH_NEURONS, step)
    grid = Grid.finite("midrise", 1, steps) if one_bit else Grid.infinite("midtread" if bits > 1 else "midrise", steps)
    keys = draws.neuron_keys(draws.layer_key(seed, "widths"), WIDTH_NEURONS)
    errors, bounds, reach = np.empty((len(WIDTHS), WIDTH_NEURONS)), np.empty(len(WIDTHS)), np.empty(len(WIDTHS))
    limit = Operator.of(quantizer, grid) if quantizer.error_limit(grid).max() > 0 else None
    for k, (weights, gram, lower, sizes) in enumerate(_gaussian_layers(seed)):
        gain = path_gain(gram, scaling)
        walk = recursion.walk(weights, gram.inputs, gain, quantizer, grid, keys)
        errors[k] = gram.error(weights, walk.quantized) / gram.target
        reach[k] = np.abs(weights + gain[:, None] * (lower @ walk.error)).max()
        clipping = path_bound.measured_clipping(int(walk.overload.sum()), weights.size)
        bounds[k] = math.inf
        if limit is not None:
            layer = PathLayer.of_norms(
                np.sqrt(gram.squares), WIDTH_SAMPLES, limit, scaling=scaling, neurons=WIDTH_NEURONS, clipping=clipping
            )
            stated = path_bound.gaussian_layer(layer, *sizes, failure)
            bounds[k] = stated.value if stated.holds else math.inf
    slope, interval = fitted_slope(np.array(WIDTHS, float), errors.mean(axis=1))
    far = 2 ** np.arange(6, 41, 2) if quantizer.rounds and not one_bit and limit is not None else np.zeros(0, int)
    far_bits = [_bits_needed(int(width), limit, scaling, failure, step) for width in far if limit is not None]
    needed = np.log2(2 * np.maximum(np.ceil(reach / step), 1) + 1) if len(far) else np.zeros(0)
    return WidthRun(
        np.array(WIDTHS), WIDTH_SAMPLES, WIDTH_NEURONS, errors, bounds, slope, interval, reach, step, far, needed,
        np.array(far_bits),
    )  # fmt: skip


@functools.lru_cache(maxsize=2)
def _gaussian_layers(seed: int) -> tuple[tuple[Array, Gram, Array, tuple[float, float]], ...]:
    """Return of each width w, its Gram matrices, H strictly below the diagonal, and (‖X‖_F, ‖XᵀX‖_F); 50 MB."""
    layers = []
    for width in WIDTHS:
        rng = np.random.default_rng([seed, 5, width])
        x = rng.standard_normal((WIDTH_SAMPLES, width))
        x *= math.sqrt(WIDTH_SAMPLES) / np.linalg.norm(x, axis=0)
        weights = rng.standard_normal((width, WIDTH_NEURONS))
        gram = Gram.of(x, weights)
        sizes = float(np.linalg.norm(x)), float(np.linalg.norm(x @ x.T))
        layers.append((weights, gram, np.tril(gram.inputs, -1), sizes))
    return tuple(layers)


def _bits_needed(width: int, operator: Operator, scaling: float, failure: float, step: float) -> float:
    layer = PathLayer(WIDTH_SAMPLES, width, 1.0, 1.0, operator, scaling, neurons=WIDTH_NEURONS)
    return math.log2(2 * path_bound.levels_needed(path_bound.gaussian_range(layer, failure), step) + 1)


def fitted_slope(x: Array, y: Array) -> tuple[float, float]:
    """Fit log y = a + s log x; return s and half of its 95 % interval (t distribution, at least 3 points).

    Where y has zeros, both are NaN.

    Examples
    --------
    >>> slope, interval = fitted_slope(np.array([1.0, 2.0, 4.0, 8.0]), np.array([8.0, 4.0, 2.0, 1.0]))
    >>> round(slope, 9), round(interval, 9)
    (-1.0, 0.0)
    """
    from scipy.special import stdtrit

    if len(x) < 3 or not (y > 0).all():
        return math.nan, math.nan
    u, v = np.log(x), np.log(y)
    centred = u - u.mean()
    slope = float(centred @ v / (centred @ centred))
    rest = v - v.mean() - slope * centred
    error = math.sqrt(float(rest @ rest) / (len(x) - 2) / float(centred @ centred))
    return slope, float(stdtrit(len(x) - 2, 0.975)) * error
