"""The walk all path-following methods share, written with Gram matrices, a block of weights at a time."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.kernels import draws
from sdqviz.kernels.follow_path import follow_path
from sdqviz.kernels.threads import run, spread, threads
from sdqviz.path_following.feedback import path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice

BLOCK = 32
"""Steps between two matrix products; it changes the time, not the result."""

SPANS = (64, 16, 4, 1)
"""Blocks that one product with earlier errors serves: the first with all before them, each other with those since the
span around it began. So most of the work is products of large matrices, at their full rate."""

SMALL = 1 << 15
"""Weights of a layer that is not worth threads of its own."""

TOGETHER = 1024
"""Neurons that one thread walks together: enough for products of matrices at their full rate."""

EVEN = 16
"""Neurons of a thread are a multiple of this: whole registers."""


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
    missed : ndarray, shape (M,)
        Σ_t share_t(v_t − q_t)², or eᵀHe; 0 where the walk was not asked to sum.
    """

    quantized: Array
    error: Array
    overload: Index
    missed: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Tally:
    """What a walk sums up on its way, for the price of a product: its error, which would else be a product of matrices.

    Attributes
    ----------
    share : ndarray, shape (N,)
        Weights of the terms: the pivots D of a factor, or the diagonal of H.
    coupled : bool
        Whether feedback is H itself, for eᵀHe = Σ_t e_t(H_tt e_t + 2Σ_{j<t} H_tj e_j); else the sum is
        Σ_t share_t(v_t − q_t)², which with H + λI = U D Uᵀ is eᵀ(H + λI)e.
    """

    share: Array
    coupled: bool


def walk(
    base: Array, feedback: Array, gain: Array, quantizer: QuantizerChoice, grid: Grid, keys: Array, *,
    reference: Array | None = None, alive: Array | None = None, names: Index | None = None,
    tally: Tally | None = None, should_stop: ShouldStop | None = None, block: int = BLOCK,
    into: tuple[Array | None, Array] | None = None,
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
    tally : Tally, optional
        What `Walk.missed` sums up.
    block : int
        Steps between two matrix products.
    into : (ndarray or None, ndarray), shape (N, M) each, optional
        Memory for q and e: new memory may cost half of what the products do. The second may be ``base`` itself.

    Returns
    -------
    Walk
    """
    length, neurons = base.shape
    # a kernel is compiled anew for what cannot be written to
    given, base, feedback = base, np.require(base, float, ("C", "W")), np.ascontiguousarray(feedback, float)
    reference = base if reference is None or reference is given else np.require(reference, float, ("C", "W"))
    alive = np.ones(length, bool) if alive is None else alive
    names = np.arange(length) if names is None else names
    threshold = np.full(neurons, quantizer.cut)
    rows_of = (grid.step.shape[0] if grid.step.ndim == 2 else 1, neurons)
    together = grid.block or max(length, 1)
    step, lowest, highest = (  # copies: what is broadcast cannot be written to
        np.array(np.broadcast_to(values, rows_of), dtype=float, order="C")
        for values in (grid.step, grid.lowest, grid.highest)
    )
    quantized, error = (np.empty(base.shape) if memory is None else memory for memory in into or (None, None))
    overload, missed = np.zeros(neurons, np.int64), np.zeros(neurons)
    tally, memory = tally or Tally(np.zeros(length), False), threading.local()  # each thread's, for all of its parts

    def walked(own: slice) -> None:
        fed = _Fed(feedback, error[:, own], block, memory)
        for start in range(0, length, block):
            stop_if(should_stop)
            rows = slice(start, min(start + block, length))
            earlier = fed.before(start)
            if quantizer.rule is None:
                _plain_block(
                    base, reference, earlier, feedback, gain, alive, names, rows, quantizer, grid, keys, tally,
                    quantized, error, overload, missed,
                )  # fmt: skip
                continue
            run(
                follow_path, base, reference, earlier, feedback, gain, alive, names, start, keys,
                quantizer.rule.shrink, threshold, quantizer.rule.rounding, together, step, float(grid.offset), lowest,
                highest, tally.share, tally.coupled, own.start, quantized, error, overload, missed,
            )  # fmt: skip

    for _ in spread(walked, [slice(0, neurons)] if quantizer.rule is None else _parts(length, neurons)):
        pass
    return Walk(quantized, error, overload, missed)


class _Fed:
    """What errors so far are fed back as, block after block of the rows that are walked."""

    def __init__(self, feedback: Array, error: Array, block: int, memory: threading.local) -> None:
        """Watch ``error``, shape (N, m), which the walk fills; sums lie in ``memory``, a thread's for all its parts."""
        self._feedback, self._error = feedback, error
        self._spans = [count * block for count in SPANS]
        shapes = [(min(span, len(error)), error.shape[1]) for span in self._spans]
        kept: list[Array] = vars(memory).setdefault("sums", [])
        if [one.shape for one in kept] != shapes:
            kept[:] = [np.empty(shape) for shape in shapes]
        self._memory = kept
        self._sums = [error[:0]] * len(SPANS)  # of the span that the walk is in, one of each size

    def before(self, start: int) -> Array:
        """Return Σ_{j<start} feedback_tj e_j of the block of rows t that begins at ``start``."""
        begun, around = 0, None
        for size, span in enumerate(self._spans):
            first = start - start % span
            if first == start:
                rows = slice(start, start + span)
                known = None if around is None else around[start - begun : start - begun + span]
                if known is None or begun < start:
                    factors = self._feedback[rows, begun:start]
                    found = np.matmul(factors, self._error[begun:start], out=self._memory[size][: len(factors)])
                    known = found if known is None else np.add(found, known, out=found)
                self._sums[size] = known
            begun, around = first, self._sums[size]
        return self._sums[-1]


def _parts(length: int, neurons: int) -> list[slice]:
    """Cut neurons into parts that are walked on a thread each, from beginning to end, unless they are soon done."""
    if length * neurons < SMALL:
        return [slice(0, neurons)]
    size = max(EVEN, min(TOGETHER, -(-neurons // threads() // EVEN) * EVEN))
    return [slice(first, min(first + size, neurons)) for first in range(0, max(neurons, 1), size)]


def _plain_block(
    base: Array, reference: Array, earlier: Array, feedback: Array, gain: Array, alive: Array, names: Index,
    rows: slice, quantizer: QuantizerChoice, grid: Grid, keys: Array, tally: Tally, quantized: Array, error: Array,
    overload: Array, missed: Array,
) -> None:  # fmt: skip
    """Do in numpy what the kernel does, for a quantizer that has no compiled rule."""
    for t in range(rows.start, rows.stop):
        total = earlier[t - rows.start] + feedback[t, rows.start : t] @ error[rows.start : t]
        values = base[t] + gain[t] * total
        if alive[t]:
            own = grid.at(int(names[t]))
            quantized[t] = quantizer.apply(values, own, draws.uniforms(keys, names[t]))
            overload += quantizer.overloaded(values, own)
        else:
            quantized[t] = 0.0
        e = error[t] = reference[t] - quantized[t]
        share = tally.share[t]
        missed += e * (share * e + 2 * total) if tally.coupled else share * (values - quantized[t]) ** 2


def refine(
    gram: Gram, weights: Array, quantized: Array, quantizer: QuantizerChoice, grid: Grid, keys: Array,
    should_stop: ShouldStop | None = None, block: int = BLOCK, alive: Array | None = None,
) -> Walk:  # fmt: skip
    """Visit every weight once more and give it the best level while all others stay: one sweep of coordinate descent.

    For nearest rounding ‖Xw − X̃q‖ cannot grow.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    weights, quantized : ndarray, shape (N, M)
        w, and q so far.
    alive : ndarray of bool, shape (N,), optional
        False at inputs whose q is to be 0; by default at dead ones.

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
        base, gram.inputs, gain, quantizer, grid, keys, reference=quantized,
        alive=gram.alive if alive is None else alive, should_stop=should_stop, block=block,
    )  # fmt: skip
