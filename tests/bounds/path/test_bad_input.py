"""Every bound on path following names what it cannot use."""

import math

import numpy as np
import pytest

from sdqviz.bounds import path as pb
from sdqviz.bounds.path import Operator, PathLayer, Sensitivity
from sdqviz.error import InputError

HALF = Operator.quantize(0.5)
X = np.ones((2, 3))
GOOD = Sensitivity.of(X)


def layer(norms=(3.0, 4.0, 0.0), samples=2, **more):
    return PathLayer.of_norms(norms, samples, HALF, **more)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: layer(samples=0), "samples must be at least 1, got 0"),
        (lambda: layer(neurons=0), "neurons must be at least 1, got 0"),
        (lambda: layer(scaling=0.5), "C must be at least 1, got 0.5"),
        (lambda: layer(scaling=math.nan), "C must be at least 1, got nan"),
        (lambda: layer(placement="mine"), "own, largest, got 'mine'"),
        (lambda: layer(norms=[]), "one value per input"),
        (lambda: layer(norms=[1.0, math.nan]), "non-negative numbers, got nan"),
        (lambda: layer(norms=[1.0, -1.0]), "non-negative numbers, got -1"),
        (lambda: layer(alignment_euclidean=-1.0), "alignment_euclidean must not be negative"),
        (lambda: PathLayer(1, 1, 1.0, 2.0, HALF), "smallest ≤ largest, got 2"),
        (lambda: Operator.quantize(0.0), "must be positive, got 0"),
        (lambda: Operator.one_bit(math.inf), "must be positive, got inf"),
        (lambda: Operator("x", 1.0, 3.0, pb.unbiased(3.0)), "0 ≤ ω ≤ 2M"),
        (lambda: pb.paper_infinity(layer(), 0.0), "p must be positive, got 0"),
        (lambda: pb.hoeffding_infinity(layer(), 0.0), "strictly between 0 and 1, got 0"),
        (lambda: pb.hoeffding_euclidean(layer(), 1.0), "strictly between 0 and 1, got 1"),
        (lambda: pb.range_paper(layer(), -1.0, 2.0), "largest_weight must not be negative"),
        (lambda: pb.range_hoeffding(layer(), math.nan, 0.1), "largest_weight must not be negative"),
        (lambda: pb.one_bit_scaling_paper(0.1, 0.0, 5, 2.0), "scale must be positive"),
        (lambda: pb.one_bit_scaling_paper(0.1, 1.0, 0, 2.0), "at least 1, got 0 and 1"),
        (lambda: pb.one_bit_scaling_paper(0.1, 1.0, 5, 2.0, ratio=0.5), "κ must be at least 1"),
        (lambda: pb.one_bit_scaling_paper(0.1, 1.0, 5, 2.0, scaling=0.5), "C must be at least 1"),
        (lambda: Sensitivity.of(np.ones(3)), "samples × inputs"),
        (lambda: Sensitivity.of(X, 0.5), "C must be at least 1"),
        (lambda: Sensitivity.of(X, 1.0, "mine"), "own, largest"),
        (lambda: Sensitivity.of_gram(X), "gram must be square"),
        (lambda: pb.trace_euclidean(layer(scaling=2.0), GOOD, 0.1), "computed for C = 2.0"),
        (lambda: pb.trace_euclidean(layer(norms=[1.0]), GOOD, 0.1), "must have 1 inputs, got 3"),
        (lambda: pb.trace_euclidean(layer(samples=5), GOOD, 0.1), "must have 5 samples, got 2"),
        (lambda: pb.per_sample_infinity(layer(), Sensitivity.of_gram(X.T @ X), 0.1), "got a Gram matrix"),
        (lambda: pb.range_per_step(layer(), GOOD, np.ones(4), 0.1), r"shape \(3, 1\), got \(4,\)"),
        (lambda: pb.network_paper([], 2.0), "at least one layer"),
        (lambda: pb.network_hoeffding([layer(), layer(samples=3)], 0.1), "same number of samples, got 2, 3"),
        (lambda: pb.gaussian_form(0, [3]), "at least 1"),
        (lambda: pb.gaussian_form(3, []), "at least 1"),
        (lambda: pb.gaussian_layer(layer(), 1.0, 1.0, 0.1, deviation=0.0), "deviation must be positive"),
        (lambda: pb.gaussian_range(layer(), 0.1, deviation=-1.0), "deviation must be positive"),
        (lambda: pb.levels_needed(pb.range_hoeffding(layer(), 1.0, 0.1), 0.0), "step must be positive"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
