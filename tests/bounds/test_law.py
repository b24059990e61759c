"""One law for every bound: what is measured keeps to it wherever its hypotheses are met, and it could have failed."""

import importlib
import inspect
import pkgutil
import typing

import numpy as np
import pytest

import sdqviz as sq
import sdqviz.bounds
from sdqviz.bounds import closed_forms, hypotheses, layer, noise_shaping, spreading, vector
from sdqviz.bounds.ladder import LadderLayer, ladder
from sdqviz.bounds.network import Dense, Residual, network_bound
from sdqviz.bounds.statement import Bound
from sdqviz.frames.walk import Walk, wang_variation
from sdqviz.sigma_delta.taps import difference

DRAWS = 40
FAMILIES = ("harmonic", "half-frequency", "random", "hadamard")


class Problem:
    """A random matrix quantized over a random frame, walked in a random order with ΣΔ of a random order."""

    def __init__(self, seed, order=None, columns=None):
        rng = self.rng = np.random.default_rng(seed)
        dimension = int(rng.choice([2, 4, 6]))
        family = sq.FRAMES[str(rng.choice(FAMILIES))]
        size = family.admissible_size(dimension, dimension + int(rng.integers(0, 60)))
        self.frame = family(dimension=dimension, size=size).build(seed)
        self.walk_order = rng.permutation(size) if rng.random() < 0.3 else np.arange(size)
        self.walk = Walk.of(self.frame, self.walk_order)
        self.order = int(rng.integers(0, 4)) if order is None else order
        self.bits = self.order + int(rng.integers(1, 3))
        self.taps = difference(self.order)
        count = int(rng.integers(1, 6)) if columns is None else columns
        self.matrix = rng.standard_normal((dimension, count))  # columns are quantized
        self.y = self.frame.analyze(self.matrix.T)[:, self.walk_order]
        self.largest = np.abs(self.y).max(axis=1)
        common = rng.random() < 0.5
        reach = np.full(count, self.largest.max()) if common else self.largest
        # now and then too small a step: then the hypothesis must fail
        self.steps = reach / self.taps.reach(self.bits) * (0.4 if rng.random() < 0.15 else 1.0)
        traces = [sq.SigmaDelta(self.bits, s, self.order).run(row) for s, row in zip(self.steps, self.y, strict=True)]
        self.states = np.array([trace.state for trace in traces])
        self.stable = self.largest <= self.taps.reach(self.bits) * self.steps * (1 + 1e-12)
        q = np.empty_like(self.y)
        q[:, self.walk_order] = [trace.quantized for trace in traces]
        self.dual = sq.DUALS["canonical" if self.order < 2 else str(rng.choice(sorted(sq.DUALS)))]()
        self.built = built = self.dual.build(self.frame, self.taps, self.walk_order)
        self.quantized = built.synthesize(q).T
        self.shaping = noise_shaping.Shaping(self.order, size, built.error_norm(self.taps), self.dual.title)

    @property
    def error(self):
        return float(np.linalg.norm(self.matrix - self.quantized, 2))


def of_vector(make):
    def case(seed):
        one = Problem(seed, 1, 1)
        return one.error, make(one.walk, one.steps[0], hypotheses.stability(one.largest, one.steps, one.bits))

    return case


def of_layer(make):
    def case(seed):
        one = Problem(seed, 1)
        return one.error, make(one.walk, one.steps, one.stable)

    return case


def any_start(seed):
    one = Problem(seed, 1, 1)
    start = one.rng.uniform(-0.6, 0.6) * one.steps[0]
    shifted = one.y.copy()
    shifted[0, 0] += start  # u_0 ≠ 0 is a first coefficient that is so much larger
    trace = sq.SigmaDelta(one.bits, one.steps[0]).run(shifted[0])
    q = np.empty(one.frame.size)
    q[one.walk_order] = trace.quantized
    stable = hypotheses.stability(one.largest, one.steps, one.bits)
    stated = vector.variation_bound_any_start(one.walk, one.steps[0], stable, start)
    return float(np.linalg.norm(one.matrix[:, 0] - one.frame.synthesize(q))), stated


def short_walk(seed):
    one = Problem(seed, 1, 1)
    return one.walk.variation, vector.wang_variation_bound(one.walk)


def rounded(seed):
    one = Problem(seed, 0)
    return one.error, spreading.layer_bound_rounding(one.walk, one.steps, one.stable)


def shaped_vector(seed):
    one = Problem(seed, columns=1)
    return one.error, noise_shaping.vector_bound_shaping(one.shaping, one.steps[0], bool(one.stable[0]))


def shaped_step_by_step(seed):
    one = Problem(seed, columns=1)
    size, shifts = one.frame.size, (one.taps.lags, one.taps.weights)
    shape = np.eye(size) - sum(float(w) * np.eye(size, k=-lag) for lag, w in zip(*shifts, strict=True))
    lengths = np.linalg.norm(one.built.synthesize(np.eye(size))[one.walk_order].T @ shape, axis=0).sum()
    stable = hypotheses.stability(one.largest, one.steps, one.bits, float(one.taps.norm))
    return one.error, noise_shaping.vector_bound_step_sum(one.shaping, float(lengths), one.steps[0], stable)


def shaped(seed):
    one = Problem(seed)
    return one.error, noise_shaping.layer_bound_shaping(one.shaping, one.steps, one.stable)


def shaped_states(seed):
    one = Problem(seed)
    return one.error, noise_shaping.layer_bound_shaped_states(one.shaping, float(np.linalg.norm(one.states, 2)))


def from_states(seed):
    one = Problem(seed, 1)
    last = float(np.linalg.norm(one.states[:, -1]))
    return one.error, layer.layer_bound_states(one.walk, float(np.linalg.norm(one.states, 2)), last)


def memoryless(seed):
    one = Problem(seed, 1)
    step, half = np.abs(one.matrix).max() / 1.5, 2
    q = (np.clip(np.floor(one.matrix / step), -half, half - 1) + 0.5) * step
    steps = np.full(one.matrix.shape[1], step)
    return float(np.linalg.norm(one.matrix - q, 2)), layer.memoryless_layer_bound(steps, len(q), True)


def quantized_norm(seed):
    one = Problem(seed, 1)
    norm = float(np.linalg.norm(one.matrix, 2))
    stated = layer.lemma_5_2(norm, layer.layer_bound_spectral(one.walk, one.steps, one.stable))
    return float(np.linalg.norm(one.quantized, 2)), stated


def signs(seed):
    rng = np.random.default_rng(seed)
    from sdqviz.frames.signs import signed

    frame = signed(sq.FRAMES["half-frequency"](dimension=8, size=20).build(), seed)
    x = rng.standard_normal(8)
    stated = spreading.coefficient_range(float(np.linalg.norm(x)), 8, 20, 1e-6)
    return float(np.abs(frame.analyze(x)).max()), stated


class Net:
    """A random network of dense layers, each quantized over a harmonic frame, and its float twin."""

    def __init__(self, seed, blocks, biased=False):
        rng = np.random.default_rng(seed)
        self.layers, self.stages, d, self.blocks = [], [], 4, blocks
        for _ in range(2 * blocks if blocks else 3):
            frame = sq.FRAMES["harmonic"](dimension=d, size=int(rng.integers(200, 900))).build()
            weight = rng.standard_normal((d, d)) / 3
            bias = rng.standard_normal(d) / 3 if biased else np.zeros(d)
            columns = np.column_stack([weight, bias]) if biased else weight
            y = frame.analyze(columns.T)
            step = float(np.abs(y).max()) / 1.5
            q = frame.synthesize(sq.SigmaDelta(2, step).run(y).quantized).T
            walk, steps = Walk.of(frame), np.full(columns.shape[1], step)
            self.layers.append((weight, bias, q[:, :d], q[:, d] if biased else bias, walk, steps))
            error = layer.layer_bound_spectral(walk, steps, True)
            norm, joint = (float(np.linalg.norm(one, 2)) for one in (weight, columns))
            kind = "quantized" if biased else "none"
            self.stages.append(Dense(norm, error.value, 1.0, kind, float(np.linalg.norm(bias)), joint))
        self.x = rng.standard_normal(d)

    def run(self, quantized):
        x, relu = self.x, lambda v: np.maximum(v, 0)
        parts = [(q, c) if quantized else (w, b) for w, b, q, c, _, _ in self.layers]
        if not self.blocks:
            for k, (w, b) in enumerate(parts):
                x = w @ x + b if k == len(parts) - 1 else relu(w @ x + b)
            return x
        for k in range(self.blocks):
            (w, b), (v, c) = parts[2 * k : 2 * k + 2]
            x = relu(x + v @ relu(w @ x + b) + c)
        return x

    @property
    def error(self):
        return float(np.linalg.norm(self.run(False) - self.run(True)))

    @property
    def norm(self):
        return float(np.linalg.norm(self.x))

    @property
    def residual(self):
        return [Residual(self.stages[2 * k], self.stages[2 * k + 1]) for k in range(self.blocks)]


def chain(make):
    def case(seed):
        net = Net(seed, 0)
        return net.error, make(net.stages, net.norm)

    return case


def blocks(make):
    def case(seed):
        net = Net(seed, 2)
        return net.error, make(net.residual, net.norm)

    return case


def with_or_without_blocks(seed):
    """Let every other network have residual blocks and quantized biases."""
    net = Net(seed, 2, biased=True) if seed % 2 else Net(seed, 0)
    return net.error, network_bound(net.residual if net.blocks else net.stages, net.norm)


def equation_14(seed):
    net = Net(seed, 0)
    layers = [layer.lemma_5_1_harmonic_rounded(walk, steps, True) for *_, walk, steps in net.layers]
    return net.error, closed_forms.equation_14(net.stages, layers, net.norm)


CASES = {
    "wang_variation_bound": short_walk,
    "variation_bound": of_vector(vector.variation_bound),
    "variation_bound_any_start": any_start,
    "variation_bound_zero_sum": of_vector(vector.variation_bound_zero_sum),
    "spectral_bound": of_vector(vector.spectral_bound),
    "corollary_3_3": of_vector(vector.corollary_3_3),
    "layer_bound_variation": of_layer(layer.layer_bound_variation),
    "layer_bound_spectral": of_layer(layer.layer_bound_spectral),
    "layer_bound_states": from_states,
    "lemma_5_1": of_layer(layer.lemma_5_1),
    "lemma_5_1_rounded": of_layer(layer.lemma_5_1_rounded),
    "lemma_5_1_harmonic": of_layer(layer.lemma_5_1_harmonic),
    "lemma_5_1_harmonic_rounded": of_layer(layer.lemma_5_1_harmonic_rounded),
    "memoryless_layer_bound": memoryless,
    "lemma_5_2": quantized_norm,
    "layer_bound_rounding": rounded,
    "vector_bound_shaping": shaped_vector,
    "vector_bound_step_sum": shaped_step_by_step,
    "layer_bound_shaping": shaped,
    "layer_bound_shaped_states": shaped_states,
    "coefficient_range": signs,
    "network_bound": with_or_without_blocks,
    "theorem_5_3": chain(closed_forms.theorem_5_3),
    "corollary_5_4": chain(closed_forms.corollary_5_4),
    "equation_14": equation_14,
    "theorem_5_6": blocks(closed_forms.theorem_5_6),
}
"""By the name of the function that states it: a random problem, what is measured of it, and the statement."""

ELSEWHERE = {"path": "tests/bounds/path/test_path_bounds.py", "calibrated": "tests/methods/test_frame_columns.py"}
"""Modules whose statements need many runs each, and who holds them to the same law."""


def stated_functions():
    """Every public function of the package that returns a bound, by name."""
    found = {}
    for info in pkgutil.walk_packages(sdqviz.bounds.__path__, "sdqviz.bounds."):
        module = importlib.import_module(info.name)
        for name, value in inspect.getmembers(module, inspect.isfunction):
            if value.__module__ == info.name and not name.startswith("_"):
                result = typing.get_type_hints(value).get("return")
                if isinstance(result, type) and issubclass(result, Bound):
                    found[name] = info.name.split(".")[2]
    return found


def test_every_statement_is_held_to_the_law():
    assembled = {"bound", "not_applicable", "probabilistic_bound", "smallest", "sharpest", "tightest"}
    missing = {name for name, home in stated_functions().items() if home not in ELSEWHERE} - set(CASES) - assembled
    assert missing == set()
    assert set(CASES) <= set(stated_functions())


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_law(name):
    """Measured ≤ value wherever it holds; it holds somewhere, not emptily; what fails is told."""
    found = [CASES[name](seed) for seed in range(DRAWS)]
    met = [(measured, stated) for measured, stated in found if stated.holds]
    assert len(met) >= DRAWS // 10, "the hypotheses are hardly ever met, so nothing is tested"
    for measured, stated in met:
        assert measured <= stated.value * (1 + 1e-7) + 1e-12, stated
    assert max(measured / stated.value for measured, stated in met) > 1e-4
    for _, stated in found:
        failing = [one for one in stated.hypotheses if not one.met]
        assert stated.holds == (not failing)
        assert all(one.got in stated.because for one in (failing or stated.hypotheses))
        assert stated.reference and stated.formula and stated.substituted


def test_the_law_finds_a_wrong_bound():
    """The same check with the constant of the spectral form cut to a tenth."""
    found = [CASES["spectral_bound"](seed) for seed in range(DRAWS)]
    assert any(measured > 0.1 * stated.value for measured, stated in found if stated.holds)


def test_the_ladder_is_held_to_the_law():
    for seed in range(20):
        net, relu = Net(seed, 0), lambda v: np.maximum(v, 0)
        z, other = net.x, net.x
        nodes = []
        for k, (w, _, q, _, walk, steps) in enumerate(net.layers):
            states = layer.layer_bound_states(walk, float(steps[0]) / 2 * np.sqrt(walk.size * len(w)), float(steps[0]))
            nodes.append(LadderLayer(w, q, z[None], other[None], from_states=states))
            z, other = (w @ z, q @ other) if k == 2 else (relu(w @ z), relu(q @ other))
        for rung in ladder(nodes).rungs:
            assert rung.bound.holds and net.error <= rung.maximum * (1 + 1e-9)


def test_short_walks_exist_where_the_limit_says_so():
    frame = sq.FRAMES["random"](dimension=4, size=120).build(0)
    assert Walk.of(frame, sq.PERMUTATIONS["wang"]().order(frame)).variation <= wang_variation(4, 120)
