"""Joint bounds on networks of walks: the value by loops, what each hypothesis does, and frequencies of a naive walk."""

import dataclasses
import math

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.bounds.path import WalkedBlock, WalkedLayer, joint_bounds
from sdqviz.bounds.path.chain import trail
from sdqviz.bounds.statement import condition

MET = (condition("clipping", "no value is clipped", True),)


def layer(name: str, neurons: int, rng: np.random.Generator, **changes) -> WalkedLayer:
    widths, alignment = rng.random(neurons), 0.1 * rng.random(neurons)
    made = WalkedLayer(name, 7, widths, alignment, 2.0 + rng.random(), 1.5 + rng.random(), MET)
    return dataclasses.replace(made, **changes)


def by_loops(nodes, failure: float, measured: bool) -> float:
    """Compute the recursion neuron by neuron, as the text writes it."""
    flat = [one for node in nodes for one in ([node] if isinstance(node, WalkedLayer) else [node.inner, node.outer])]
    each = failure / (2 * len(flat))
    columns = rows = 0.0

    def through(one: WalkedLayer, before: float) -> tuple[float, float]:
        size = one.seen if measured else one.original + before
        s = one.scaling / math.sqrt(2 * one.scaling - 1)
        n, m = len(one.widths), one.samples
        t = math.log(n * one.thresholds / each)
        longest, square, left = 0.0, 0.0, 0.0
        for omega, u in zip(one.widths, one.alignment, strict=True):
            longest = max(longest, omega / 2 * s * math.sqrt(m + 2 * math.sqrt(m * t) + 2 * t) * size + u)
            square += (omega * s * math.sqrt(0.5 * math.log(2 * m * n * one.thresholds / each)) * size) ** 2
            left += u**2
        return one.lipschitz * longest, one.lipschitz * (math.sqrt(square) + math.sqrt(left))

    for node in nodes:
        if isinstance(node, WalkedLayer):
            columns, rows = through(node, columns)
        else:
            more = through(node.outer, through(node.inner, columns)[0])
            columns, rows = columns + more[0], rows + more[1]
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_the_value_is_that_of_loops(seed):
    rng = np.random.default_rng(seed)
    nodes = [
        layer("a", 5, rng, lipschitz=1.3),
        WalkedBlock(layer("b", 4, rng), layer("c", 5, rng, scaling=2.5)),
        layer("d", 3, rng, thresholds=2**31),
    ]
    for nodes_, failure in ((nodes, 0.05), (nodes[:2], 0.3), (nodes[3:] or nodes[2:], 0.01)):
        original, seen = joint_bounds(nodes_, failure)
        assert original.value == pytest.approx(by_loops(nodes_, failure, False), rel=1e-12)
        assert seen.value == pytest.approx(by_loops(nodes_, failure, True), rel=1e-12)
        assert original.probability == seen.probability == 1 - failure and original.holds and seen.holds


def test_one_failing_hypothesis_of_one_layer_fails_both():
    rng = np.random.default_rng(1)
    bad = (condition("clipping", "no value is clipped", False, "the finite alphabet clipped 3 of 9 values"),)
    for one in joint_bounds([layer("a", 4, rng), layer("b", 2, rng, hypotheses=bad)], 0.05):
        assert not one.holds and one.because.startswith("Not applicable: layer b: the finite alphabet clipped 3")


def test_nonsense_is_refused():
    rng = np.random.default_rng(1)
    with pytest.raises(sq.InputError, match="at least one layer"):
        joint_bounds([], 0.05)
    with pytest.raises(sq.InputError, match="one ω and"):
        layer("a", 4, rng, alignment=np.zeros(3))
    with pytest.raises(sq.InputError, match="failure"):
        joint_bounds([layer("a", 4, rng)], 1.0)


def walked(x: np.ndarray, moved: np.ndarray, weights: np.ndarray, step: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """SPFQ by its definition, states in R^m: return q and û of every neuron; alignment by one sweep."""
    aligned, quantized = np.zeros_like(weights), np.zeros_like(weights)
    for j in range(weights.shape[1]):
        u = np.zeros(len(x))
        for t in range(weights.shape[0]):
            u = u + weights[t, j] * x[:, t]
            size = moved[:, t] @ moved[:, t]
            aligned[t, j] = moved[:, t] @ u / size if size > 0 else 0.0
            u = u - aligned[t, j] * moved[:, t]
        u = np.zeros(len(x))
        for t in range(weights.shape[0]):
            size = moved[:, t] @ moved[:, t]
            value = aligned[t, j] + (moved[:, t] @ u / size if size > 0 else 0.0)
            quantized[t, j] = step * (np.floor(value / step) + (rng.random() < value / step % 1)) if size > 0 else 0.0
            u = u + (aligned[t, j] - quantized[t, j]) * moved[:, t]
    return quantized, x @ weights - moved @ aligned


def test_naive_walks_exceed_the_bounds_no_more_often_than_stated():
    """With γ close to 1 the bound is as small as it can be: still no more than γ of the runs may exceed it."""
    exceeded, runs, failure, tightest = np.zeros(2), 60, 0.5, 0.0
    for run in range(runs):
        rng = np.random.default_rng([8, run])
        m, step = int(rng.integers(1, 6)), 0.3
        sizes = [int(n) for n in rng.integers(2, 7, 3)]
        original = moved = np.abs(rng.standard_normal((m, sizes[0])))
        nodes: list[WalkedLayer] = []
        for i in range(2):
            w = rng.standard_normal((sizes[i], sizes[i + 1]))
            q, left = walked(original, moved, w, step, rng)
            norms = [float(np.linalg.norm(values, axis=0).max()) for values in (original, moved)]
            nodes.append(WalkedLayer(str(i), m, np.full(sizes[i + 1], step), np.linalg.norm(left, axis=0), *norms, MET))
            original, moved = (np.maximum(a @ b, 0.0) for a, b in ((original, w), (moved, q)))
            reached = trail(nodes, failure, measured=True)[-1]
            assert reached.columns <= trail(nodes, failure, measured=False)[-1].columns * (1 + 1e-12)
        error = np.linalg.norm(original - moved, axis=1).max()
        values = [one.value for one in joint_bounds(nodes, failure)]
        exceeded += error > np.array(values)
        tightest = max(tightest, error / max(values[1], 1e-300))
    assert (exceeded <= failure * runs).all() and tightest > 0.1


def test_a_bound_below_the_rounding_of_the_forward_pass_is_not_said_to_hold():
    rng = np.random.default_rng(2)
    tiny = layer("a", 4, rng, widths=np.full(4, 1e-12), alignment=np.zeros(4), norm=3.0, rounding=1e-6)
    after = layer("b", 2, rng, widths=np.full(2, 1e-9), alignment=np.zeros(2), norm=2.0, rounding=1e-6, lipschitz=1.5)
    for one in joint_bounds([tiny, after], 0.05):
        assert not one.holds and "rounding in the forward pass may do, about 4.5e-06" in one.because
    assert all(one.holds for one in joint_bounds([tiny, dataclasses.replace(after, widths=np.full(2, 0.1))], 0.05))
