"""The formulas behind the pictures of a layer's walk, with its numbers put in."""

from __future__ import annotations

import math

import numpy as np

from sdqviz.bounds.path import SPFQ, UNIFIED
from sdqviz.explore.formula import Formula, of_bound
from sdqviz.explore.layer_walks.alignment import AlignmentRun
from sdqviz.explore.layer_walks.grains import WeightWalk
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.layer_walks.width import WidthRun
from sdqviz.explore.wording import number, percent

RECURSION = (
    r"v_t=\tilde w_t+\frac{\langle\tilde X_t,\tilde u_{t-1}\rangle}{C\|\tilde X_t\|^2},\quad "
    r"q_t=\mathcal T(v_t),\quad \tilde u_t=\tilde u_{t-1}+(\tilde w_t-q_t)\tilde X_t"
)
"""The walk all methods share, with the operator T."""


def correction(run: WalkRun, walk: WeightWalk) -> Formula:
    """Return how a step corrects a weight for the errors so far."""
    ours = float(walk.norms[-1])
    return Formula(
        RECURSION,
        [
            (r"v_t-\tilde w_t", "correction; largest", number(float(np.abs(walk.correction).max()))),
            ("C", "divides it", number(run.choice.scaling)),
            (r"\|\tilde u_N\|", "left over at the end", number(ours)),
        ],
        UNIFIED,
        text="path-following",
    )


def left_over(count: int, many: str) -> Formula:
    """Return what each method leaves of a neuron or a layer."""
    return Formula(
        r"\|Xw-\tilde Xq\|\,/\,\|Xw\|",
        [(f"{many}s", "shown", str(count))],
        "Of a layer, over all its neurons shown; earlier layers are rounded to 4 bits.",
    )


def states(run: WalkRun) -> list[Formula]:
    """Return the recursion, and the state that is drawn of every method."""
    length = len(run.data.weights)
    return [
        Formula(
            RECURSION,
            [
                ("C", "1 for GPFQ and SPFQ, for the unified framework", number(run.choice.scaling)),
                (r"\delta", "step between levels", number(run.step)),
                (r"\mathcal T", "nearest level (GPFQ), random level (SPFQ), or", run.quantizer.title.lower()),
            ],
            f"{SPFQ}; {UNIFIED}",
            text="path-following",
        ),
        Formula(
            r"u_t=\sum_{j\le t}\bigl(w_jX_j-q_j\tilde X_j\bigr),\qquad u_N=Xw-\tilde Xq",
            [("m, N", "samples, steps", f"{len(run.data.inputs)}, {length}")],
            "What is drawn, for every method the same. Rounding and GPTQ do not look at X. GPTQ may leave much "
            "behind on the way, since it counts on the weights still to come.",
        ),
    ]


def alignment(run: WalkRun, info: AlignmentRun, at: int) -> Formula:
    """Return a sweep of alignment, and what the one in use leaves, the ``at``-th of those drawn."""
    return Formula(
        r"\operatorname{tril}(H)\,\tilde w^{(k+1)}=Gw-\operatorname{triu}(H,1)\,\tilde w^{(k)},\quad "
        r"H=\tilde X^{\mathsf T}\tilde X,\ G=\tilde X^{\mathsf T}X",
        [
            (r"r", "sweeps in use", str(run.choice.order)),
            (r"\|Xw-\tilde X\tilde w\|/\|Xw\|", "left at this order", percent(float(info.residual[at]))),
            ("", "left by least squares", percent(info.least)),
        ],
        f"{SPFQ}; from the second sweep on it is Gauss–Seidel on the normal equations",
        text="path-following",
    )


def gaussian_error(info: WidthRun, told: str) -> Formula:
    """Return the bound on the square error of Gaussian layers, and the fitted slope as it is told."""
    stated = np.isfinite(info.bound)
    worst = float((info.errors.max(axis=1) / info.bound).max()) if stated.any() else math.nan
    return Formula(
        r"\frac{\|Xw-Xq\|_2^2}{\|Xw\|_2^2}\le\frac{B^2}{\sigma^2(\|X\|_F^2-2\|X^{\mathsf T}X\|_F\sqrt t)}"
        r"\approx\frac{m\delta^2}{4\sigma^2N}",
        [
            (r"\delta/\sigma", "step over the deviation of the weights", number(info.step)),
            ("", "fitted slope with its 95 % interval", told),
            ("", "largest measured over bound", number(worst) if stated.any() else "n/a"),
        ],
        f"Proved in our docs; the form m(log N)^(L+1)/N of a whole network is from {SPFQ}",
        text="gaussian-weights",
    )


def gaussian_bits(info: WidthRun) -> Formula:
    """Return how wide an alphabet suffices for a Gaussian layer."""
    return Formula(
        r"\max_t|v_t|\le\Bigl(\sigma+\frac{\omega\kappa}{2\sqrt{2C-1}}\Bigr)\sqrt{2\log(4N/\gamma)}"
        r"\ \Rightarrow\ \log_2(2K+1)\approx\tfrac12\log_2\log N",
        [
            (r"\delta/\sigma", "step over the deviation of the weights", number(info.step)),
            (r"\kappa", "all inputs have one norm", "1"),
        ],
        f"Proved in our docs; after {SPFQ}",
        text="gaussian-weights",
    )


def bounds(run: WalkRun) -> list[Formula]:
    """Return every bound with what the cloud of runs says to it."""
    return [
        of_bound(
            one,
            [
                ("p", "stated probability", percent(one.probability)),
                ("", "runs above it", f"{v.failures} of {v.seeds}"),
                ("", "largest measured over bound", number(v.largest)),
            ],
        )
        for one, v in zip(run.bounds, run.verdicts, strict=True)
    ]


def operator(run: WalkRun, widest: float) -> Formula:
    """Return what the operator promises, with the largest value it was given."""
    return Formula(
        r"\mathbb E\,\mathcal T(z)=z,\qquad |\mathcal T(z)-z|\le M",
        [
            ("M", "the furthest it goes", number(float(run.quantizer.error_limit(run.grid).max()))),
            (r"\delta", "step between levels", number(run.step)),
            ("c", "pruning threshold", number(run.cut)),
            (r"\max_t|v_t|", "largest value it was given", number(widest)),
            ("", "share of weights that are zero", percent(run.zeros)),
        ],
        UNIFIED,
        text="unified",
    )
