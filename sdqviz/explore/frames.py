"""A frame looked at closely: its Gram matrix, its tours, its size against others, and its link."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.bounds.statement import CZAJA_NA, Bound
from sdqviz.bounds.vector import wang_variation_bound
from sdqviz.error import InputError
from sdqviz.explore.formula import Formula
from sdqviz.explore.stored import picked
from sdqviz.explore.wording import number
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame, FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.walk import Walk, walked, wang_variation

GRAM_CELLS = 96
"""Rows and columns of the drawn Gram matrix; each cell of a larger one shows its largest |⟨e_m,e_n⟩|."""


GRAM_LIMIT = 4096
"""Frame vectors up to which the coherence is computed from all pairs."""


COMPARED_WITHIN = 1.0
"""Seconds each ordering may take in the comparison."""


COMPARED_UP_TO = 512
"""Frame size up to which orderings are compared without being asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameInfo:
    """What the page shows of one frame and one ordering.

    Attributes
    ----------
    choice : FrameChoice
        What was asked for.
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,)
        The ordering p.
    walk : Walk
        Its geometry.
    steps : ndarray, shape (N−1,)
        ‖e_{p(n)} − e_{p(n+1)}‖.
    gram : ndarray, shape (m, m)
        |⟨e_m,e_n⟩| in the order as written, reduced by maxima to at most `GRAM_CELLS` a side.
    """

    choice: FrameChoice
    frame: Frame
    order: Index
    walk: Walk
    steps: Array
    gram: Array

    @property
    def wang(self) -> Bound:
        """Bound (8) with the ratio."""
        return wang_variation_bound(self.walk)


def build(choices: Mapping[str, Any]) -> FrameInfo:
    """Compute what the parameters of the page's link describe."""
    seed = int(choices.get("seed", 0))
    choice = picked(FRAMES, choices, "frame", "harmonic")
    ordering = picked(PERMUTATIONS, choices, "permutation", "identity", "permutation_")
    found = walked(choice, ordering, seed)
    steps = found.frame.steps_along(found.visits)
    return FrameInfo(choice, found.frame, found.visits, found.walk, steps, gram_info(found.frame))


@functools.lru_cache(maxsize=1024)
def _written(choice: FrameChoice, seed: int) -> float:
    """Return σ of the order as written; kept, because the trend against N asks for the same sizes again."""
    return choice.build(seed).variation()


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link."""
    found = build(choices)
    return {
        "lower_bound": found.frame.bounds[0],
        "upper_bound": found.frame.bounds[1],
        "coherence": found.frame.coherence,
        "variation": found.walk.variation,
        "wang_limit": wang_variation(found.frame.dimension, found.frame.size),
        "wang_holds": found.wang.holds,
    }


def gram_info(frame: Frame) -> Array:
    """Return |⟨e_m,e_n⟩|, reduced by maxima over square blocks to at most `GRAM_CELLS` a side."""
    if frame.size > GRAM_LIMIT:
        raise InputError(f"size must be at most {GRAM_LIMIT} for a Gram matrix, got {frame.size}")
    block = -(-frame.size // GRAM_CELLS)
    starts = np.arange(0, frame.size, block)
    rows = []
    for start in starts:
        products = np.abs(frame.vectors[start : start + block] @ frame.vectors.T).max(axis=0)
        rows.append(np.maximum.reduceat(products, starts))
    return np.array(rows)


@dataclasses.dataclass(frozen=True)
class Ordered:
    """One ordering in the comparison.

    Attributes
    ----------
    name, title : str
        The ordering.
    variation : float
        σ(F, p).
    ratio : float or None
        σ over the Wang bound (8); None for d < 3, where it says nothing.
    seconds : float
        Time it took.
    """

    name: str
    title: str
    variation: float
    ratio: float | None
    seconds: float


def compare_orderings(choices: Mapping[str, Any]) -> tuple[Ordered, ...]:
    """Walk through the frame in every registered ordering, each within `COMPARED_WITHIN` seconds, shortest first."""
    seed = int(choices.get("seed", 0))
    frame = walked(picked(FRAMES, choices, "frame", "harmonic"), PERMUTATIONS["identity"](), seed).frame
    limit = wang_variation(frame.dimension, frame.size) if frame.dimension >= 3 else None
    found = []
    for name in sorted(PERMUTATIONS):
        cls = PERMUTATIONS[name]
        begun = time.monotonic()
        given = {"seconds": COMPARED_WITHIN} if "seconds" in cls.specs() else {}
        variation = frame.variation(cls(**given).order(frame, seed))
        ratio = variation / limit if limit else None
        found.append(Ordered(name, cls.title, variation, ratio, time.monotonic() - begun))
    return tuple(sorted(found, key=lambda one: one.variation))


@dataclasses.dataclass(frozen=True, eq=False)
class Growth:
    """σ of one family against N.

    Attributes
    ----------
    size : ndarray of int, shape (m,)
        N.
    variation : ndarray, shape (m,)
        σ of the order as written.
    limit : ndarray, shape (m,)
        Wang's limit (8) for the best order; NaN for d < 3.
    """

    size: Array
    variation: Array
    limit: Array


def growth(choices: Mapping[str, Any]) -> Growth:
    """Compute σ in the order as written for about a dozen sizes of the family, up to 4 times the shown N."""
    seed = int(choices.get("seed", 0))
    choice = picked(FRAMES, choices, "frame", "harmonic")
    d = choice.dimension
    top = min(2 ** math.ceil(math.log2(max(4 * choice.size, 8 * d))), 2048)  # the same for many N, so results are kept
    sizes: list[int] = []
    for at_least in np.unique(np.geomspace(d, top, 14).round().astype(int)):
        try:
            sizes.append(type(choice).admissible_size(d, int(at_least)))
        except InputError:
            continue
    sizes = sorted({size for size in sizes if size <= GRAM_LIMIT} | {choice.size})
    variation = [_written(dataclasses.replace(choice, size=size), seed) for size in sizes]
    limit = [wang_variation(d, size) if d >= 3 else np.nan for size in sizes]
    return Growth(np.array(sizes), np.array(variation), np.array(limit))


def projected(found: FrameInfo) -> tuple[Array, str]:
    """Return the vectors along the order in two or three dimensions, and how they got there.

    Above three dimensions the two directions are the left singular vectors of the summed walk that
    carry most of it: what a slow tour looks like from its best side.
    """
    vectors = found.frame.vectors[found.order]
    d = found.frame.dimension
    if d == 1:
        return np.concatenate([vectors, np.zeros_like(vectors)], axis=1), "one line"
    if d <= 3:
        return np.array(vectors), f"in all {d} dimensions"
    slow = np.cumsum(vectors - vectors.mean(axis=0), axis=0)
    _, _, directions = np.linalg.svd(slow - slow.mean(axis=0), full_matrices=False)
    return vectors @ directions[:2].T, f"projected from {d} dimensions on the plane in which the tour is slowest"


def code(choices: Mapping[str, Any], found: FrameInfo) -> str:
    """Return the lines that compute the page's numbers."""
    family = found.choice.to_dict()
    walk = picked(PERMUTATIONS, choices, "permutation", "identity", "permutation_").to_dict()

    def call(registry: str, values: dict[str, Any]) -> str:
        name = values.pop("name")
        return f"sq.{registry}[{name!r}]({', '.join(f'{k}={v!r}' for k, v in values.items())})"

    return f"""import sdqviz as sq

frame = {call("FRAMES", family)}.build(seed={choices["seed"]})
order = {call("PERMUTATIONS", walk)}.order(frame, seed={choices["seed"]})
frame.bounds              # {found.frame.bounds}
frame.tightness           # {found.frame.tightness:.3g}
frame.coherence           # {found.frame.coherence:.6g}
frame.variation(order)    # {found.walk.variation:.6g}"""


def welch(dimension: int, size: int) -> float:
    """Return Welch's lower bound on the coherence of N unit vectors in R^d.

    Examples
    --------
    >>> round(welch(3, 4), 6)
    0.333333
    """
    return float(np.sqrt(max(size - dimension, 0) / (dimension * max(size - 1, 1))))


def coherence_formula(found: FrameInfo) -> Formula:
    """Return the coherence beside Welch's bound."""
    coherence, size = found.frame.coherence, found.frame.size
    return Formula(
        r"\mu=\max_{m\ne n}\frac{|\langle e_m,e_n\rangle|}{\|e_m\|\,\|e_n\|}\ \ge\ \sqrt{\frac{N-d}{d\,(N-1)}}",
        [
            (r"\mu", "coherence now", number(coherence)),
            (
                r"\sqrt{(N-d)/(d(N-1))}",
                "the least any N unit vectors can have",
                number(welch(found.frame.dimension, size)),
            ),
        ],
        "Welch, IEEE Trans. Inf. Theory 20 (1974)",
    )


def wang_formula(found: FrameInfo) -> Formula:
    """Return Wang's limit, and how long the orderings had."""
    applies = found.frame.dimension >= 3
    return Formula(
        found.wang.formula,
        [("d", "dimension", str(found.frame.dimension)), ("N", "frame vectors", str(found.frame.size))],
        f"{found.wang.reference}. Each ordering had at most {COMPARED_WITHIN:g} s.",
        found.wang.substituted if applies else "",
        found.wang.text,
    )


def growth_formula(slope: float) -> Formula:
    """Return why a bounded σ is enough, with its fitted growth."""
    return Formula(
        r"\|x-\tilde x\|\le\frac{\delta d}{2N}\bigl(\sigma(F,p)+1\bigr)",
        [("N^s", "fitted growth of σ, exponent s", number(slope))],
        f"{CZAJA_NA}, Theorem 3.1: a σ that stays bounded gives an error of order 1/N.",
        text="vector-bound",
    )


def variation_formula(found: FrameInfo) -> Formula:
    """Return the definition of σ with the numbers of this frame."""
    return Formula(
        r"\sigma(F,p)=\sum_{n=1}^{N-1}\|e_{p(n)}-e_{p(n+1)}\|",
        [
            (r"\sigma(F,p)", "frame variation now", number(found.walk.variation)),
            ("N", "frame vectors", str(found.frame.size)),
            ("d", "dimension", str(found.frame.dimension)),
            (r"\|\Delta E\|_2", "spectral norm of all differences", number(found.walk.difference_norm)),
        ],
        f"{CZAJA_NA}, Definition 3.1; Benedetto, Powell & Yılmaz (2006)",
    )
