"""Every bound against what is measured, over random frames, orders, inputs and networks: `pytest -s` prints the table.

A case is one quantized vector, one quantized matrix, or one input of one quantized network.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.bounds import closed_forms, ladder, ladder_layer
from sdqviz.bounds import network as network_bound
from sdqviz.bounds.hypotheses import stability
from sdqviz.bounds.layer import (
    layer_bound_states,
    layer_bounds,
    lemma_5_1_harmonic_rounded,
    memoryless_layer_bound,
)
from sdqviz.bounds.statement import Hypothesis, tightest
from sdqviz.bounds.vector import variation_bound_any_start, vector_bounds
from sdqviz.error import InputError
from sdqviz.frames.walk import Walk
from sdqviz.kernels.spectral_norm import spectral_norm
from sdqviz.sigma_delta.recursion import walk_rows

SLACK = 1e-9
ROUNDING = 1e-14
"""Error of the transforms that measure, relative to what is quantized: seen where the bound is 0."""


class Tally:
    """Ratios measured/bound by name of the bound, and the cases in which some bound holds."""

    def __init__(self):
        self.ratios = defaultdict(list)
        self.holding = defaultdict(int)
        self.seen = defaultdict(int)
        self.violations = []
        self.cases = 0
        self.covered = 0

    def add(self, results, measured, scale):
        """Enter one case: its bounds and the measured error, or one bound value per bound."""
        self.cases += 1
        self.covered += bool([b for b in results if b.holds])
        for item in results:
            self.seen[item.name] += 1
            if item.holds:
                self.enter(item.name, measured, item.value, scale)

    def see(self, name, holds, measured, value, scale):
        """Enter a bound that is counted beside the cases."""
        self.seen[name] += 1
        if holds:
            self.enter(name, measured, value, scale)

    def enter(self, name, measured, value, scale):
        self.holding[name] += 1
        self.ratios[name].append(measured / value if value > ROUNDING * scale else 0.0)
        if measured > value * (1 + SLACK) + ROUNDING * scale:
            self.violations.append((name, measured, value))

    def table(self, title):
        lines = [
            f"\n{title}: {self.cases} cases, {len(self.violations)} violations, {self.covered / self.cases:.1%} covered"
        ]
        lines.append(f"{'bound':32} {'cases':>7} {'holds':>7} {'largest':>9} {'median':>9}")
        for name in sorted(self.seen):
            ratios = np.array(self.ratios[name] or [np.nan])
            share = self.holding[name] / self.seen[name]
            lines.append(f"{name:32} {self.seen[name]:7d} {share:7.1%} {ratios.max():9.3g} {np.median(ratios):9.3g}")
        return "\n".join(lines)


def any_frame(rng, dimension=None):
    """A frame of a random registered family; families that lack the dimension are passed over."""
    while True:
        family = sq.FRAMES[rng.choice(sorted(sq.FRAMES))]
        d = dimension or int(rng.choice([1, 2, 3, 3, 4, 5, 6, 8, 9, 16]))
        try:
            size = family.admissible_size(d, int(d + rng.integers(0, 8) * d + rng.integers(0, 5)))
            return family(dimension=d, size=size).build(seed=int(rng.integers(1000)))
        except InputError:
            continue


def any_order(rng, frame):
    return None if rng.random() < 0.5 else rng.permutation(frame.size)


def quantize(frame, order, rows, bits, steps):
    """ΣΔ-quantize vectors, shape (M, d): reconstructed vectors, states and largest coefficients."""
    coefficients = frame.analyze(rows)
    levels, state = np.empty_like(coefficients), np.empty_like(coefficients)
    walk_rows(coefficients, bits, steps, order=order, out=levels, state=state)
    return frame.synthesize(levels), state, np.abs(coefficients).max(axis=1)


def random_vectors(tally, rng, configurations, inputs):
    for _ in range(configurations):
        frame = any_frame(rng)
        order = any_order(rng, frame)
        walk = Walk.of(frame, order)
        bits = int(rng.integers(1, 6))
        x = rng.standard_normal((inputs, frame.dimension)) * 10.0 ** rng.integers(-3, 4)
        x[::3] *= rng.random(frame.dimension) < 0.5  # sparse ones as well
        largest = np.abs(frame.analyze(x)).max(axis=1) + 1e-300
        radius = 2 ** (bits - 1) - 0.5
        fill = np.where(rng.random(inputs) < 0.1, rng.uniform(1.0, 3.0, inputs), rng.uniform(0.2, 1.0, inputs) ** 0.2)
        steps = largest / (radius * fill)
        approximate, _, _ = quantize(frame, order, x, bits, steps)
        errors = np.linalg.norm(x - approximate, axis=1)
        for j in range(inputs):
            stable = stability(largest[j], steps[j], bits)
            tally.add(
                (*vector_bounds(walk, steps[j], stable), variation_bound_any_start(walk, steps[j], stable)),
                errors[j],
                np.linalg.norm(x[j]),
            )


def random_matrices(tally, rng, configurations):
    for _ in range(configurations):
        frame = any_frame(rng)
        order = any_order(rng, frame)
        columns = int(rng.integers(1, 12))
        bits = int(rng.integers(1, 5))
        w = rng.standard_normal((columns, frame.dimension)) * rng.uniform(0.1, 2, (columns, 1))
        largest = np.abs(frame.analyze(w)).max(axis=1)
        steps = largest / (2 ** (bits - 1) - 0.5)
        if rng.random() < 0.5:
            steps = np.full(columns, steps.max())
        if rng.random() < 0.1:
            steps = steps * 0.6
        walk = Walk.of(frame, order)
        stable = stability(largest, steps, bits)
        approximate, state, _ = quantize(frame, order, w, bits, steps)
        error = float(np.linalg.norm(w - approximate, 2))
        last = np.linalg.norm(state[:, -1 if order is None else order[-1]])
        scale = float(np.linalg.norm(w))
        tally.add(layer_bounds(walk, steps, stable), error, scale)
        states = layer_bound_states(walk, spectral_norm(state), float(last))
        tally.see(states.name, states.holds, error, states.value, scale)
        half = 2 ** (bits - 1)
        rounded = (np.clip(np.floor(w / steps[:, None]), -half, half - 1) + 0.5) * steps[:, None]
        plain = memoryless_layer_bound(steps, frame.dimension, np.abs(w).max(axis=1) <= half * steps)
        tally.see(plain.name, plain.holds, float(np.linalg.norm(w - rounded, 2)), plain.value, scale)


ACTIVATIONS = {
    "relu": (1.0, lambda x: np.maximum(x, 0)),
    "tanh": (1.0, np.tanh),
    "steep": (2.5, lambda x: np.where(x > 0, 2.5 * x, 0.3 * x)),
    "sine": (0.7, lambda x: 0.7 * np.sin(x)),
    "abs": (1.0, np.abs),
}


@dataclasses.dataclass
class QuantizedLayer:
    """One layer of a random network, quantized as the library does it."""

    weight: np.ndarray
    bias: np.ndarray | None
    quantized: np.ndarray
    quantized_bias: np.ndarray | None
    walk: Walk
    steps: np.ndarray
    stable: Hypothesis
    state_norm: float
    last: float
    lipschitz: float = 1.0

    def dense(self):
        best = tightest(layer_bounds(self.walk, self.steps, self.stable))
        kind = "none" if self.bias is None else "kept" if self.quantized_bias is None else "quantized"
        bias = np.zeros(len(self.weight)) if self.bias is None else self.bias
        return network_bound.Dense(
            norm=spectral_norm(self.weight),
            error=best.value,
            lipschitz=self.lipschitz,
            bias=kind,
            bias_norm=float(np.linalg.norm(bias)),
            joint_norm=spectral_norm(np.column_stack([self.weight, bias])),
            error_holds=best.holds,
        )

    def rung(self, z, compressed):
        return ladder_layer.LadderLayer(
            self.weight,
            self.quantized,
            z,
            compressed,
            self.bias,
            self.quantized_bias,
            self.lipschitz,
            layer_bound_states(self.walk, self.state_norm, self.last),
        )

    def __call__(self, z):
        return z @ self.weight.T + (0 if self.bias is None else self.bias)

    def compressed(self, z):
        bias = self.bias if self.quantized_bias is None else self.quantized_bias
        return z @ self.quantized.T + (0 if bias is None else bias)


def random_layer(rng, rows, columns, kind, lipschitz=1.0):
    frame = any_frame(rng, rows)
    order = None if rng.random() < 0.7 else rng.permutation(frame.size)
    bits = int(rng.integers(1, 5))
    weight = rng.standard_normal((rows, columns)) / np.sqrt(columns) * rng.uniform(0.2, 2)
    bias = None if kind == "none" else rng.standard_normal(rows) * rng.choice([0.1, 1.0, 5.0])
    vectors = weight.T if kind != "quantized" else np.vstack([weight.T, bias])
    largest = np.abs(frame.analyze(vectors)).max(axis=1)
    steps = largest / (2 ** (bits - 1) - 0.5)
    if rng.random() < 0.5:
        steps = np.full(len(vectors), steps.max())
    if rng.random() < 0.015:
        steps = steps * 0.7
    approximate, state, _ = quantize(frame, order, vectors, bits, steps)
    return QuantizedLayer(
        weight,
        bias,
        approximate[:columns].T,
        approximate[columns] if kind == "quantized" else None,
        Walk.of(frame, order),
        steps,
        stability(largest, steps, bits),
        spectral_norm(state),
        float(np.linalg.norm(state[:, -1 if order is None else order[-1]])),
        lipschitz,
    )


def check_network(tally, stages, nodes, closed, x, errors):
    """Enter every input of one network: the recursion, the closed forms and the ladder."""
    rungs = ladder.ladder(nodes).rungs
    overall = network_bound.network_bound(stages, np.linalg.norm(x, axis=1))
    scale = float(np.linalg.norm(x))
    tally.see("network, largest", overall.holds, errors.max(), overall.value, scale)
    for j in range(len(x)):
        norm = np.linalg.norm(x[j])
        results = (network_bound.network_bound(stages, norm), *(form(norm) for form in closed))
        tally.add(results, errors[j], scale)
        for rung in rungs:
            tally.see(rung.bound.name, rung.bound.holds, errors[j], rung.values[j], scale)


def random_chain(tally, rng, inputs):
    depth = int(rng.integers(1, 5))
    width = rng.integers(3, 13, depth + 1)
    if rng.random() < 0.3:
        width[:] = width[0]
    kind = rng.choice(["none", "kept", "quantized", "mixed"])
    slope, activation = ACTIVATIONS[rng.choice(sorted(ACTIVATIONS))]
    layers = []
    for i in range(depth):
        own = rng.choice(["none", "kept", "quantized"]) if kind == "mixed" else kind
        layers.append(random_layer(rng, int(width[i + 1]), int(width[i]), own, slope if i < depth - 1 else 1.0))
    x = rng.standard_normal((inputs, width[0])) * 10 ** rng.uniform(-1, 1, (inputs, 1))
    z, compressed, nodes = x, x, []
    for i, layer in enumerate(layers):
        nodes.append(layer.rung(z, compressed))
        z, compressed = layer(z), layer.compressed(compressed)
        if i < depth - 1:
            z, compressed = activation(z), activation(compressed)
    stages = [layer.dense() for layer in layers]
    closed = [
        lambda norm: closed_forms.theorem_5_3(stages, norm),
        lambda norm: closed_forms.corollary_5_4(stages, norm),
    ]
    if all(layer.bias is None for layer in layers):
        closed.append(
            lambda norm: closed_forms.equation_14(
                stages, [lemma_5_1_harmonic_rounded(one.walk, one.steps, one.stable) for one in layers], norm
            )
        )
    check_network(tally, stages, nodes, closed, x, np.linalg.norm(z - compressed, axis=1))


def random_residual(tally, rng, inputs):
    blocks = int(rng.integers(1, 4))
    width = int(rng.integers(3, 11))
    kind = rng.choice(["none", "kept", "quantized"])
    framed = rng.random() < 0.5
    after = rng.random() < 0.5
    x = rng.standard_normal((inputs, width)) * 10 ** rng.uniform(-1, 1, (inputs, 1))
    relu = ACTIVATIONS["relu"][1]
    z, compressed, nodes, stages = x, x, [], []
    if framed:
        first = random_layer(rng, width, width, kind)
        nodes.append(first.rung(z, compressed))
        stages.append(first.dense())
        z, compressed = relu(first(z)), relu(first.compressed(compressed))
    for _ in range(blocks):
        inner, outer = random_layer(rng, width, width, kind), random_layer(rng, width, width, kind)
        hidden, compressed_hidden = relu(inner(z)), relu(inner.compressed(compressed))
        nodes.append(ladder_layer.LadderBlock(inner.rung(z, compressed), outer.rung(hidden, compressed_hidden)))
        stages.append(network_bound.Residual(inner.dense(), outer.dense()))
        z, compressed = z + outer(hidden), compressed + outer.compressed(compressed_hidden)
        if after:
            z, compressed = relu(z), relu(compressed)
    if framed:
        final = random_layer(rng, int(rng.integers(3, 8)), width, kind)
        nodes.append(final.rung(z, compressed))
        stages.append(final.dense())
        z, compressed = final(z), final.compressed(compressed)
    closed = [lambda norm: closed_forms.theorem_5_6(stages, norm)]
    check_network(tally, stages, nodes, closed, x, np.linalg.norm(z - compressed, axis=1))


def finish(tally, title, record_property, least):
    print(tally.table(title))
    record_property("cases", tally.cases)
    record_property("violations", len(tally.violations))
    assert not tally.violations, tally.violations[:5]
    assert tally.cases >= least
    assert tally.covered >= 0.8 * tally.cases


@pytest.mark.slow
def test_vectors(record_property):
    tally, rng = Tally(), np.random.default_rng(1)
    random_vectors(tally, rng, 350, 20)
    finish(tally, "one vector", record_property, 7000)
    for name in ("variation", "spectral", "variation-any-start"):
        assert tally.holding[name] >= 0.8 * tally.seen[name]


@pytest.mark.slow
def test_matrices(record_property):
    tally, rng = Tally(), np.random.default_rng(2)
    random_matrices(tally, rng, 1000)
    finish(tally, "one matrix", record_property, 1000)
    for name in ("layer-variation", "layer-spectral"):
        assert tally.holding[name] >= 0.8 * tally.seen[name]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chain", "residual"])
def test_networks(kind, record_property):
    tally, rng = Tally(), np.random.default_rng(3)
    for _ in range(160):
        (random_chain if kind == "chain" else random_residual)(tally, rng, 10)
    finish(tally, f"{kind} networks", record_property, 1600)
    assert tally.holding["network"] >= 0.8 * tally.seen["network"]
    for name in ("p0", "p1", "p2", "p3", "p4"):
        assert tally.holding[name] == tally.seen[name]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_many_more(seed, record_property):
    tally, rng = Tally(), np.random.default_rng(100 + seed)
    random_vectors(tally, rng, 1000, 30)
    random_matrices(tally, rng, 3000)
    for _ in range(500):
        random_chain(tally, rng, 12)
        random_residual(tally, rng, 12)
    finish(tally, f"all kinds, seed {seed}", record_property, 45_000)
