"""Calibrated ΣΔ of neurons too long for one Gram matrix in the frame: inputs part by part, errors passed on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdqviz.array import Array
from sdqviz.path_following.beam import Walker, beam_walk, greedy_walk
from sdqviz.path_following.factor import factorize, walk_values
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.quantized_rows import QuantizedRows, coordinates, decode_rows, multiples
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.walk import walk
from sdqviz.progress import ShouldStop, stop_if


def quantize_parts(
    gram: Gram, target: Array, errors: Callable[[Array], Array], stored: Callable[[Array], Array],
    frame: RowFrame, bits: int, paths: int = 1, damping: float = 0.1, should_stop: ShouldStop | None = None,
    walker: Walker = walk,
) -> QuantizedRows:  # fmt: skip
    """Quantize neurons in a frame of several parts; as `quantize_rows`, but no matrix is larger than a part's.

    Notes
    -----
    H + λI = U D Uᵀ in blocks. With e_p = w_p − q_p of the parts before, v_p = w_p + U_pp⁻ᵀ Σ_{o<p} U_opᵀ e_o makes
    eᵀ(H + λI)e = Σ_p (v_p − q_p)ᵀ S_p (v_p − q_p), S_p = U_pp D_p U_ppᵀ, whatever each part is rounded to. So every
    part is walked with the Gram matrix S_p towards v_p, and later parts correct the earlier ones.
    """
    from scipy.linalg import solve_triangular

    whole = factorize(gram.inputs, damping)
    upper = whole.feedback.T
    parts = []
    for piece, cut in zip(frame.pieces, frame.cuts, strict=True):
        block = upper[cut, cut]
        own = Gram((block * whole.pivots[cut]) @ block.T, None, gram.target, gram.samples)
        matrix = piece.gram(own.inputs)
        parts.append((piece, cut, own, matrix, factorize(matrix, 0.0 if piece.size == piece.dimension else damping)))
    half = 2 ** (bits - 1)

    def walked(step: Array, width: int) -> tuple[Array, ...]:
        missed, rounded, over = np.zeros_like(target), [], np.zeros(target.shape[1], np.int64)
        for piece, cut, own, matrix, factor in parts:
            stop_if(should_stop)
            passed = upper[: cut.start, cut].T @ missed[: cut.start]
            aimed = target[cut] + solve_triangular(upper[cut, cut], passed, trans="T", unit_diagonal=True)
            base = coordinates(piece, own, matrix, factor, aimed)
            found = greedy_walk(factor, base, bits, step, should_stop, walker)
            if width > 1:
                found = beam_walk(factor, base, bits, step, width, should_stop, found)
            missed[cut] = target[cut] - piece.synthesize(np.ascontiguousarray(found.T)).T
            over += (np.abs(walk_values(factor, base, found)) > half * step * (1 + 1e-9)).sum(axis=0)
            rounded.append(found)
        index = np.rint(np.concatenate(rounded) / np.where(step > 0, step, 1.0) - 0.5)
        levels = (np.where(step > 0, index, 0.0) + half).T.astype(np.uint8)
        neurons = decode_rows(frame, levels, step, bits)
        return levels, neurons, errors(neurons.T), step, over

    rms = np.sqrt((frame.analyze(np.ascontiguousarray(target.T)) ** 2).mean(axis=1))
    best = walked(stored(multiples(bits)[0] * rms), paths)
    for multiple in multiples(bits)[1:]:
        new = walked(stored(multiple * rms), paths)
        better = new[2] < best[2]
        shaped = (better[:, None], better[:, None], better, better, better)
        best = tuple(np.where(where, mine, theirs) for where, mine, theirs in zip(shaped, new, best, strict=True))
    levels, neurons, _, step, over = best
    pivots = np.concatenate([factor.pivots for *_, factor in parts])
    return QuantizedRows(levels, step, neurons, over, pivots, whole.damping)
