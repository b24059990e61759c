"""The walk all path-following methods share, written with Gram matrices: however many samples, only N×N numbers."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.kernels import draws, kernel
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice

BLOCK = 64
"""Steps between two matrix products; it changes the time, not the result."""

DEAD = 1e-24
"""An input counts as dead where ‖X̃_t‖² is below this share of the largest: rounding has left nothing of it."""

LARGEST_PROGRAM = 2_000_000
"""Entries of the linear program of the smallest range above which it is refused."""


@dataclasses.dataclass(frozen=True, eq=False)
class Gram:
    """What the walk needs to know of a layer's inputs; columns of weights are neurons.

    Attributes
    ----------
    inputs : ndarray, shape (N, N)
        H = X̃ᵀX̃; X̃ (m×N) are the layer's inputs in the network compressed so far.
    cross : ndarray or None, shape (N, N)
        G = X̃ᵀX, with X the inputs in the original network; None where the networks still agree, G = H.
    target : ndarray, shape (M,)
        ‖Xw‖² of each neuron w.
    samples : int
        m.
    """

    inputs: Array
    cross: Array | None
    target: Array
    samples: int

    @classmethod
    def of(cls, inputs: Array, weights: Array, original: Array | None = None) -> Gram:
        """Form the matrices from inputs X̃, shape (m, N), weights (N, M) and, if they differ, the original inputs X."""
        first = inputs if original is None else original
        return cls(
            inputs.T @ inputs,
            None if original is None else inputs.T @ original,
            ((first @ weights) ** 2).sum(axis=0),
            len(inputs),
        )

    @functools.cached_property
    def squares(self) -> Array:
        """‖X̃_t‖² of each input, shape (N,)."""
        return np.maximum(np.diagonal(self.inputs), 0.0)

    @functools.cached_property
    def alive(self) -> Array:
        """Which inputs are not zero on every sample, bool of shape (N,)."""
        return self.squares > DEAD * max(float(self.squares.max(initial=0.0)), np.finfo(float).tiny)

    def aimed(self, weights: Array) -> Array:
        """Return Gw = X̃ᵀXw, shape (N, M): the right side of the normal equations."""
        return (self.inputs if self.cross is None else self.cross) @ weights

    def error(self, weights: Array, quantized: Array, aimed: Array | None = None) -> Array:
        """Return ‖Xw − X̃q‖² of each neuron, shape (M,); rounding may leave it a little off where it is tiny.

        ``aimed`` is Gw, for those who ask for many errors of the same weights.
        """
        if self.cross is None:
            difference = weights - quantized
            return np.maximum(np.einsum("tm,tm->m", difference, self.inputs @ difference), 0.0)
        crossed = np.einsum("tm,tm->m", quantized, self.aimed(weights) if aimed is None else aimed)
        own = np.einsum("tm,tm->m", quantized, self.inputs @ quantized)
        return np.maximum(self.target - 2 * crossed + own, 0.0)

    def visited(self, order: Index) -> Gram:
        """Return the same with the inputs in another order."""
        both = np.ix_(order, order)
        return Gram(self.inputs[both], None if self.cross is None else self.cross[both], self.target, self.samples)


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the samples of one group of a layer, from which the walk's `Gram` is made.

    Attributes
    ----------
    inputs, cross, target, samples
        As in `Gram`.
    total, original_total : ndarray, shape (N,)
        Sums over the samples of X̃ and of X.
    """

    inputs: Array
    cross: Array | None
    target: Array
    samples: int
    total: Array
    original_total: Array

    def plain(self) -> Gram:
        """Return the Gram matrices as they are."""
        return Gram(self.inputs, self.cross, self.target, self.samples)

    def centred(self, weights: Array) -> Gram:
        """Return those of the inputs less their means: for biases that will make up for the mean error.

        Inputs that are constant lose all but rounding and then count as dead: the bias takes their part.
        """
        inputs = self.inputs - np.outer(self.total, self.total) / self.samples
        constant = np.diagonal(inputs) <= 1e-12 * np.diagonal(self.inputs)
        inputs[constant] = 0.0
        inputs[:, constant] = 0.0
        target = np.maximum(self.target - (self.original_total @ weights) ** 2 / self.samples, 0.0)
        cross = None
        if self.cross is not None:
            cross = self.cross - np.outer(self.total, self.original_total) / self.samples
            cross[constant] = 0.0
        elif constant.any():
            # the original inputs are these inputs, and their constants are left to the bias
            target = np.einsum("tm,tm->m", weights, inputs @ weights)
        return Gram(inputs, cross, target, self.samples)

    def extended(self, weights: Array, bias: Array) -> Gram:
        """Return those of the inputs with a constant 1 as the last one: biases are then weights like the others."""
        inputs = _bordered(self.inputs, self.total, self.total, self.samples)
        cross = None if self.cross is None else _bordered(self.cross, self.total, self.original_total, self.samples)
        target = self.target + 2 * bias * (self.original_total @ weights) + self.samples * bias**2
        return Gram(inputs, cross, target, self.samples)

    def mean_error(self, weights: Array, quantized: Array) -> Array:
        """Return the mean over the samples of Xw − X̃q for each neuron, shape (M,)."""
        return (self.original_total @ weights - self.total @ quantized) / self.samples


def _bordered(matrix: Array, column: Array, row: Array, corner: float) -> Array:
    return np.block([[matrix, column[:, None]], [row[None, :], np.full((1, 1), float(corner))]])


@dataclasses.dataclass(frozen=True, eq=False)
class Walk:
    """What the walk left behind.

    Attributes
    ----------
    quantized : ndarray, shape (N, M)
        q.
    error : ndarray, shape (N, M)
        e = w̃ − q.
    overload : ndarray of int, shape (M,)
        Steps of each neuron at which the alphabet clipped.
    """

    quantized: Array
    error: Array
    overload: Index


def align(gram: Gram, weights: Array, order: int = 1, should_stop: ShouldStop | None = None) -> Array:
    """Find w̃ with X̃w̃ ≈ Xw by sweeping ``order`` times through the inputs.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    weights : ndarray, shape (N, M)
        w, a column per neuron.
    order : int
        Sweeps, at least 1. The first follows the path as GPFQ does; the others are Gauss–Seidel on ‖Xw − X̃w̃‖,
        so they converge to a least-squares solution.

    Returns
    -------
    ndarray, shape (N, M)
        w̃; 0 at dead inputs.

    Notes
    -----
    The sequential definition (Zhang & Saab, arXiv 2309.10975) w̃_t = ⟨X̃_t, û_{t−1} + w_tX_t⟩/‖X̃_t‖² is the triangular
    system tril(H)w̃ = tril(G)w, and sweep k+1 is tril(H)w̃ = Gw − triu(H, 1)w̃ with the w̃ of sweep k on the right.
    Where the networks agree, w̃ = w.
    """
    from scipy.linalg import solve_triangular

    if order < 1:
        raise InputError(f"order must be at least 1, got {order}")
    alive = gram.alive[:, None]
    if gram.cross is None:
        return np.where(alive, weights, 0.0)
    lower = np.tril(gram.inputs)
    lower[~gram.alive] = 0.0
    np.fill_diagonal(lower, np.where(gram.alive, gram.squares, 1.0))
    aligned = np.where(alive, np.tril(gram.cross) @ weights, 0.0)
    aligned = solve_triangular(lower, aligned, lower=True, check_finite=False, overwrite_b=True)
    if order == 1:
        return aligned
    aimed, upper = gram.aimed(weights), np.triu(gram.inputs, 1)
    for _ in range(order - 1):
        stop_if(should_stop)
        right = np.where(alive, aimed - upper @ aligned, 0.0)
        aligned = solve_triangular(lower, right, lower=True, check_finite=False, overwrite_b=True)
    return aligned


def least_squares(gram: Gram, weights: Array, damping: float = 0.0) -> Array:
    """Find the w̃ nearest to w among those with the smallest ‖Xw − X̃w̃‖² + damping·‖w̃ − w‖².

    Parameters
    ----------
    gram : Gram
        The layer's inputs; H may be singular.
    weights : ndarray, shape (N, M)
        w, a column per neuron.
    damping : float
        λ ≥ 0, in units of H.

    Returns
    -------
    ndarray, shape (N, M)
        w̃; 0 at dead inputs.
    """
    from scipy.linalg import eigh

    alive = gram.alive
    if gram.cross is None:
        return np.where(alive[:, None], weights, 0.0)
    rest = (gram.aimed(weights) - gram.inputs @ weights)[alive]  # X̃ᵀ(X − X̃)w
    values, vectors = eigh(gram.inputs[np.ix_(alive, alive)], check_finite=False)
    least = values.max(initial=0.0) * len(values) * np.finfo(float).eps * 10
    inverse = np.where(values > least, 1.0 / (np.maximum(values, least) + damping), 0.0)
    aligned = np.zeros_like(weights)
    aligned[alive] = weights[alive] + vectors @ (inverse[:, None] * (vectors.T @ rest))
    return aligned


def smallest_range(gram: Gram, weights: Array, should_stop: ShouldStop | None = None) -> Array:
    """Find the least-squares w̃ with the smallest largest entry, by a linear program for each neuron.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    weights : ndarray, shape (N, M)
        w, a column per neuron.

    Returns
    -------
    ndarray, shape (N, M)
        w̃ with H w̃ = G w, which is X̃w̃ = Xw where that can be; 0 at dead inputs.

    Raises
    ------
    InputError
        If the program would be too large; the size is named.

    Notes
    -----
    Perfect alignment of SPFQ (arXiv 2309.10975): argmin ‖w̃‖_∞ subject to X̃w̃ = Xw.
    """
    from scipy.linalg import eigh
    from scipy.optimize import linprog

    alive = gram.alive
    values, vectors = eigh(gram.inputs[np.ix_(alive, alive)], check_finite=False)
    kept = values > values.max(initial=0.0) * len(values) * np.finfo(float).eps * 10
    rank, size = int(kept.sum()), len(values)
    program = (rank + 2 * size) * (size + 1)
    if program > LARGEST_PROGRAM:
        raise InputError(
            f"the linear program of the smallest range must have at most {LARGEST_PROGRAM} entries, got {program} "
            f"({rank} equations and {2 * size} inequalities in {size + 1} unknowns): use least squares for this layer"
        )
    equations = np.hstack([vectors[:, kept].T, np.zeros((rank, 1))])
    right = (vectors[:, kept].T @ gram.aimed(weights)[alive]) / values[kept, None]
    box = np.block([[np.eye(size), -np.ones((size, 1))], [-np.eye(size), -np.ones((size, 1))]])
    cost = np.append(np.zeros(size), 1.0)
    bounds = [(None, None)] * size + [(0, None)]
    aligned = np.zeros_like(weights)
    for column in range(weights.shape[1]):
        stop_if(should_stop)
        if size == 0:
            break
        solved = linprog(cost, A_ub=box, b_ub=np.zeros(2 * size), A_eq=equations, b_eq=right[:, column], bounds=bounds)
        if solved.x is None:
            raise InputError(f"the linear program of the smallest range must have a solution, got: {solved.message}")
        aligned[alive, column] = solved.x[:size]
    return aligned


def walk(
    base: Array, feedback: Array, gain: Array, quantizer: QuantizerChoice, grid: Grid, keys: Array, *,
    reference: Array | None = None, alive: Array | None = None, names: Index | None = None,
    should_stop: ShouldStop | None = None, block: int = BLOCK,
) -> Walk:  # fmt: skip
    """Quantize weight after weight, each time with the errors so far: q_t = T(v_t).

    v_t = base_t + gain_t·Σ_{j<t} feedback_tj·e_j and e_t = reference_t − q_t, for every column at once.

    Parameters
    ----------
    base : ndarray, shape (N, M)
        What would be quantized without any feedback; a column per neuron.
    feedback : ndarray, shape (N, N)
        Read strictly below the diagonal: H for path following, the transposed factor U for GPTQ.
    gain : ndarray, shape (N,)
        1/(C‖X̃_t‖²) for path following, 1 for GPTQ.
    quantizer : QuantizerChoice
        T.
    grid : Grid
        The alphabets of the M neurons.
    keys : ndarray of uint64, shape (M,)
        Keys of the neurons' random numbers, `sdqviz.kernels.draws.neuron_keys`.
    reference : ndarray, shape (N, M), optional
        What errors are counted from; by default ``base``.
    alive : ndarray of bool, shape (N,), optional
        False at inputs whose q is to be 0.
    names : ndarray of int, shape (N,), optional
        Positions of the weights in their neuron, if the walk does not visit them in that order; the random numbers
        belong to the positions.
    block : int
        Steps between two matrix products.

    Returns
    -------
    Walk
    """
    length, neurons = base.shape
    reference = base if reference is None else reference
    alive = np.ones(length, bool) if alive is None else alive
    names = np.arange(length) if names is None else names
    threshold = np.full(neurons, quantizer.cut)
    step = np.ascontiguousarray(np.broadcast_to(grid.step, neurons))
    quantized, error = np.empty((length, neurons)), np.empty((length, neurons))
    overload = np.zeros(neurons, np.int64)
    for start in range(0, length, block):
        stop_if(should_stop)
        rows = slice(start, min(start + block, length))
        earlier = feedback[rows, :start] @ error[:start]
        if quantizer.rule is None:
            _plain_block(
                base, reference, earlier, feedback, gain, alive, names, rows, quantizer, grid, keys, quantized, error,
                overload,
            )  # fmt: skip
            continue
        kernel.run(
            kernel.follow_path, base, reference, earlier, feedback, gain, alive, names, start, keys,
            quantizer.rule.shrink, threshold, quantizer.rule.rounding, step, float(grid.offset), float(grid.lowest),
            float(grid.highest), quantized, error, overload,
        )  # fmt: skip
    return Walk(quantized, error, overload)


def _plain_block(
    base: Array, reference: Array, earlier: Array, feedback: Array, gain: Array, alive: Array, names: Index,
    rows: slice, quantizer: QuantizerChoice, grid: Grid, keys: Array, quantized: Array, error: Array, overload: Array,
) -> None:  # fmt: skip
    """Do in numpy what the kernel does, for a quantizer that has no compiled rule."""
    for t in range(rows.start, rows.stop):
        total = earlier[t - rows.start] + feedback[t, rows.start : t] @ error[rows.start : t]
        values = base[t] + gain[t] * total
        if alive[t]:
            quantized[t] = quantizer.apply(values, grid, draws.uniforms(keys, names[t]))
            overload += quantizer.overloaded(values, grid)
        else:
            quantized[t] = 0.0
        error[t] = reference[t] - quantized[t]


def path_gain(gram: Gram, scaling: float = 1.0, placement: str = "own") -> Array:
    """Return the gain of path following, 1/(C‖X̃_t‖²) or 1/(C max_j‖X̃_j‖²), shape (N,); 0 at dead inputs.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    scaling : float
        C ≥ 1; 1 is GPFQ and SPFQ.
    placement : {"own", "largest"}
        Whose norm C multiplies. With the largest one the range and 1-bit conditions no longer contain the ratio of
        the input norms.

    Notes
    -----
    Zhang & Saab, arXiv 2412.18184.
    """
    if scaling < 1:
        raise InputError(f"scaling C must be at least 1, got {scaling}")
    if placement not in ("own", "largest"):
        raise InputError(f"placement must be own or largest, got {placement!r}")
    squares = gram.squares if placement == "own" else np.full_like(gram.squares, gram.squares.max(initial=0.0))
    return np.where(gram.alive, 1.0 / (scaling * np.where(gram.alive, squares, 1.0)), 0.0)


def refine(
    gram: Gram, weights: Array, quantized: Array, quantizer: QuantizerChoice, grid: Grid, keys: Array,
    should_stop: ShouldStop | None = None, block: int = BLOCK,
) -> Walk:  # fmt: skip
    """Visit every weight once more and give it the best level while all others stay: one sweep of coordinate descent.

    For nearest rounding ‖Xw − X̃q‖ cannot grow.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    weights, quantized : ndarray, shape (N, M)
        w, and q so far.

    Returns
    -------
    Walk
        Its ``error`` is the change of q.

    Notes
    -----
    The walk of `walk` with v_t = q_t + ⟨X̃_t, Xw − X̃q⟩/‖X̃_t‖² and errors counted from the old q.
    """
    gain = path_gain(gram)
    base = quantized + gain[:, None] * (gram.aimed(weights) - gram.inputs @ quantized)
    return walk(
        base, gram.inputs, gain, quantizer, grid, keys, reference=quantized, alive=gram.alive, should_stop=should_stop,
        block=block,
    )  # fmt: skip


def conditional_feedback(gram: Gram, damping: float = 0.01) -> tuple[Array, float]:
    """Return GPTQ's feedback matrix: how the weights still to come can best make up for an error.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    damping : float
        Added to the diagonal of H, as a share of its mean; ten times more as often as the factorisation fails.

    Returns
    -------
    feedback : ndarray, shape (N, N)
        Uᵀ of the factorisation H + λI = U D Uᵀ with U upper triangular and ones on its diagonal.
    damping : float
        λ, in units of H.

    Notes
    -----
    GPTQ (Frantar et al., arXiv 2210.17323) updates the weights to come after each rounding. The update that its
    Cholesky factor of the inverse gives is the same as this feedback of the errors: minimising over the later weights
    leaves Σ_t D_t(w_t − q_t + Σ_{j<t} U_jt(w_j − q_j))², so each term in turn is rounded to nearest.
    """
    from scipy.linalg import LinAlgError, cholesky

    size = len(gram.squares)
    mean = float(gram.squares.mean()) if size else 0.0
    matrix = gram.inputs.copy()
    matrix[~gram.alive] = 0.0
    matrix[:, ~gram.alive] = 0.0
    added = damping * mean
    diagonal = np.where(gram.alive, gram.squares, 1.0)
    smallest = max(mean, np.finfo(float).tiny) * size * np.finfo(float).eps
    while True:
        np.fill_diagonal(matrix, diagonal + added)
        try:
            factor = cholesky(matrix[::-1, ::-1], lower=True, check_finite=False)[::-1, ::-1]
            break
        except LinAlgError:
            added = max(10 * added, smallest)
    return np.ascontiguousarray((factor / np.diagonal(factor)).T), added


def state_norms(gram: Gram, error: Array) -> Array:
    """Return ‖ũ_t‖² for every step and neuron, shape (N, M), where ũ_t = Σ_{j≤t} e_jX̃_j.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    error : ndarray, shape (N, M)
        e = w̃ − q.
    """
    inner = np.tril(gram.inputs, -1) @ error
    return np.maximum(np.cumsum(error * (2 * inner + gram.squares[:, None] * error), axis=0), 0.0)
