"""What the bounds need to know of a layer, and the parts their formulas share."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.bounds.path.operator import NO_CLIPPING, Clipping, Operator, unclipped
from sdqviz.bounds.path.statement import (
    SPFQ,
    UNIFIED,
    ProbabilisticBound,
    check_failure,
    check_scaling,
    probabilistic_bound,
)
from sdqviz.bounds.statement import Hypothesis, condition, number_tex
from sdqviz.error import InputError

PLACEMENTS = ("own", "largest")
"""Whose squared norm C multiplies: that of the input at hand, or the largest of all inputs."""

DEAD = 1e-12
"""Inputs whose norm is below this share of the largest count as zero; they get q = 0 and take no part."""


@dataclasses.dataclass(frozen=True)
class PathLayer:
    """What the bounds need to know of a layer that path following quantizes.

    Attributes
    ----------
    samples : int
        m, rows of X̃.
    inputs : int
        N, columns of X̃: weights of a neuron.
    largest, smallest : float
        max_j‖X̃_j‖, and the smallest norm of the columns that are not zero. In bounds on a whole network
        ``largest`` is that of the original activations X.
    operator : Operator
        T.
    scaling : float
        C ≥ 1; 1 is SPFQ.
    placement : {"own", "largest"}
        Whether the feedback is divided by C‖X̃_t‖² or by C·max_j‖X̃_j‖².
    neurons : int
        How many neurons the bound is to hold for at once.
    alignment_infinity, alignment_euclidean : float
        Largest ‖û‖_∞ and ‖û‖₂ of the neurons, û = Xw − X̃w̃; 0 for perfect alignment.
    clipping : Clipping
        Why the alphabet's end is not felt.
    """

    samples: int
    inputs: int
    largest: float
    smallest: float
    operator: Operator
    scaling: float = 1.0
    placement: str = "own"
    neurons: int = 1
    alignment_infinity: float = 0.0
    alignment_euclidean: float = 0.0
    clipping: Clipping = NO_CLIPPING

    def __post_init__(self) -> None:
        """Refuse counts below 1, C below 1 and norms that are none."""
        for what in ("samples", "inputs", "neurons"):
            if getattr(self, what) < 1:
                raise InputError(f"{what} must be at least 1, got {getattr(self, what)}")
        check_scaling(self.scaling)
        if self.placement not in PLACEMENTS:
            raise InputError(f"placement must be one of {', '.join(PLACEMENTS)}, got {self.placement!r}")
        if not 0 <= self.smallest <= self.largest:
            raise InputError(f"norms must satisfy 0 ≤ smallest ≤ largest, got {self.smallest} and {self.largest}")
        for what in ("alignment_infinity", "alignment_euclidean"):
            if not getattr(self, what) >= 0:
                raise InputError(f"{what} must not be negative, got {getattr(self, what)}")

    @classmethod
    def of_norms(
        cls,
        norms: ArrayLike,
        samples: int,
        operator: Operator,
        *,
        scaling: float = 1.0,
        placement: str = "own",
        neurons: int = 1,
        alignment_infinity: float = 0.0,
        alignment_euclidean: float = 0.0,
        clipping: Clipping = NO_CLIPPING,
    ) -> Self:
        """Build from the column norms ‖X̃_j‖, shape (N,), and m.

        Examples
        --------
        >>> layer = PathLayer.of_norms([3.0, 0.0, 4.0], samples=2, operator=Operator.quantize(0.1))
        >>> layer.inputs, layer.largest, round(layer.ratio, 3)
        (3, 4.0, 1.333)
        """
        values = np.asarray(norms, float)
        if values.ndim != 1 or values.size == 0:
            raise InputError(f"norms must be one value per input, got shape {values.shape}")
        if not (values >= 0).all():
            raise InputError(f"norms must be non-negative numbers, got {values[~(values >= 0)][0]}")
        largest = float(values.max())
        alive = values[values > DEAD * largest]
        smallest = float(alive.min()) if alive.size else 0.0
        return cls(
            samples, values.size, largest, smallest, operator, float(scaling), placement, neurons,
            float(alignment_infinity), float(alignment_euclidean), clipping,
        )  # fmt: skip

    @property
    def ratio(self) -> float:
        """κ of the range: max‖X̃_j‖/min‖X̃_t‖ with C‖X̃_t‖², 1 with C·max_j‖X̃_j‖²."""
        return self.largest / self.smallest if self.placement == "own" and self.smallest > 0 else 1.0

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Return the conditions all bounds on the layer share."""
        clipping = self.clipping.hypothesis
        if self.clipping is NO_CLIPPING and math.isfinite(self.operator.radius):
            text = f"the finite alphabet may clip: nothing says that no value leaves ±{self.operator.radius:.4g}"
            clipping = unclipped(False, text)
        return (self.operator.unbiased, condition("scaling", f"C = {self.scaling:.4g} ≥ 1", True), clipping)


def paper_failure(layer: PathLayer, power: float) -> float:
    """Return √2·m·N^(−p) times the number of neurons: what the papers' forms may fail with; not cut to 1."""
    return math.sqrt(2) * layer.samples * layer.neurons * layer.inputs**-power


def matching_power(layer: PathLayer, failure: float) -> float:
    """Return the p at which the papers' forms fail with probability γ, so that forms can be compared.

    Infinite for a single input, where N^(−p) is 1 for every p.
    """
    check_failure(failure)
    if layer.inputs == 1:
        return math.inf
    return math.log(math.sqrt(2) * layer.samples * layer.neurons / failure) / math.log(layer.inputs)


def alignment_term(layer: PathLayer, size: float, norm: str) -> tuple[tuple[Hypothesis, ...], str, str]:
    """Return the hypothesis, the term of the formula and the number that approximate alignment adds."""
    if size == 0:
        return (condition("alignment", "the alignment is perfect", True),), "", ""
    text = f"the approximate alignment adds ‖û‖ = {size:.4g}"
    return (condition("alignment", text, True),), rf"+\|\hat u\|_{norm}", f"+{number_tex(size)}"


def scaled_tex(scaling: float, inside: str) -> tuple[str, str]:
    """Return C√(inside/(2C−1)) as a formula and with C put in; both reduce to √inside for C = 1."""
    if scaling == 1:
        return rf"\sqrt{{{inside}}}", rf"\sqrt{{{inside}}}"
    c = number_tex(scaling)
    return (
        rf"C\sqrt{{\frac{{{inside}}}{{2C-1}}}}",
        rf"{c}\sqrt{{\frac{{{inside}}}{{2\cdot {c}-1}}}}",
    )


def spread(scaling: float) -> float:
    """Return C/√(2C−1), by which C lets errors grow."""
    return scaling / math.sqrt(2 * scaling - 1)


def source_of(layer: PathLayer) -> tuple[str, str]:
    """Return the reference and the text of the papers' forms."""
    if layer.scaling == 1:
        return f"{SPFQ}; proved in our docs: path-following", "path-following"
    return f"{UNIFIED}; proved in our docs: unified", "unified"


def hoeffding_form(
    layer: PathLayer, failure: float, name: str, title: str, value: float, formula: str, numbers: str, after: str = ""
) -> ProbabilisticBound:
    """Assemble a bound of ours on the error of a layer that fails with probability γ; what alignment leaves is added.

    Parameters
    ----------
    layer : PathLayer
        The layer.
    failure : float
        γ.
    name, title : str
        Slug, which names the norm, and what people read.
    value : float
        The bound under perfect alignment.
    formula, numbers : str
        Its right side in LaTeX, and with the numbers put in.
    after : str
        What follows the formula, such as the meaning of a letter.
    """
    infinity = "infinity" in name
    norm, added = (r"{\infty}", layer.alignment_infinity) if infinity else ("2", layer.alignment_euclidean)
    aligned, term, number = alignment_term(layer, added, norm)
    return probabilistic_bound(
        name,
        title,
        value + added,
        (*layer.hypotheses(), *aligned),
        1 - failure - layer.clipping.failure,
        reference="proved in our docs: hoeffding",
        text="hoeffding",
        formula=rf"\|Xw-\tilde Xq\|_{norm}\le{formula}{term}{after}",
        substituted=f"{numbers}{number}",
    )
