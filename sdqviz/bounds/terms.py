"""The factor that multiplies δ in every bound on frame quantization: each form once, for vectors and for layers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from sdqviz.bounds.statement import Bound, Hypothesis, bound, number_tex
from sdqviz.frames.walk import Walk, harmonic_variation_limit


@dataclasses.dataclass(frozen=True)
class Term:
    """A factor: its value, its formula, and the formula with numbers."""

    value: float
    formula: str
    numbers: str

    def scaled(
        self,
        name: str,
        title: str,
        amount: float,
        statement: str,
        hypotheses: Iterable[Hypothesis],
        *,
        reference: str,
        text: str,
    ) -> Bound:
        """State that an error is at most ``amount`` times this.

        Parameters
        ----------
        name, title, hypotheses, reference, text
            As for `Bound`; a reference names whose form it is, besides our proof.
        amount : float
            The step of a vector, or what stands for it of a layer.
        statement : str
            LaTeX of the error and the amount, as far as the dot.
        """
        return bound(
            name,
            title,
            amount * self.value,
            hypotheses,
            reference=f"{reference}; proved in our docs: {text}" if reference else f"proved in our docs: {text}",
            text=text,
            formula=rf"{statement}\cdot {self.formula}",
            substituted=rf"{number_tex(amount)}\cdot {self.numbers}",
        )


def variation_term(walk: Walk, extra: int) -> Term:
    """(d/2N)(σ(F,p) + extra)."""
    return _halved(walk, walk.variation + extra, rf"\sigma(F,p){_plus(extra)}", number_tex(walk.variation), extra)


def spectral_term(walk: Walk) -> Term:
    """(d/2N)(√(N−1)‖ΔE‖₂ + 1), without the +1 where the last state vanishes."""
    extra, root = walk.closing, math.sqrt(walk.size - 1)
    numbers = rf"\sqrt{{{walk.size - 1}}}\cdot {number_tex(walk.difference_norm)}"
    formula = rf"\sqrt{{N-1}}\,\|\Delta E\|_2{_plus(extra)}"
    return _halved(walk, root * walk.difference_norm + extra, formula, numbers, extra)


def harmonic_term(walk: Walk) -> Term:
    """(d/2N)(2π(d+1) + 1)."""
    numbers = rf"2\pi({walk.dimension}+1)"
    return _halved(walk, harmonic_variation_limit(walk.dimension) + 1, r"2\pi(d+1)+1", numbers, 1)


def harmonic_rounded_term(walk: Walk) -> Term:
    """(3π/2)d²/N."""
    d, size = walk.dimension, walk.size
    return Term(
        1.5 * math.pi * d**2 / size,
        r"\frac{3\pi}{2}\cdot\frac{d^2}{N}",
        rf"\frac{{3\pi}}{{2}}\cdot\frac{{{d}^2}}{{{size}}}",
    )


def short_term(walk: Walk) -> Term:
    """2d√(d+3)·N^(−1/d)."""
    d, size = walk.dimension, walk.size
    return Term(
        2 * d * math.sqrt(d + 3) * size ** (-1 / d),
        r"2d\sqrt{d+3}\,N^{-1/d}",
        rf"2\cdot {d}\sqrt{{{d}+3}}\cdot {size}^{{-1/{d}}}",
    )


def short_rounded_term(walk: Walk) -> Term:
    """2√2·d^(3/2)·N^(−1/d)."""
    d, size = walk.dimension, walk.size
    return Term(
        2 * math.sqrt(2) * d**1.5 * size ** (-1 / d),
        r"2\sqrt2\,d^{3/2}N^{-1/d}",
        rf"2\sqrt2\cdot {d}^{{3/2}}\cdot {size}^{{-1/{d}}}",
    )


def _halved(walk: Walk, inside: float, formula: str, numbers: str, extra: int) -> Term:
    d, size = walk.dimension, walk.size
    return Term(
        d / (2 * size) * inside,
        rf"\frac{{d}}{{2N}}\bigl({formula}\bigr)",
        rf"\frac{{{d}}}{{2\cdot {size}}}\bigl({numbers}{_plus(extra)}\bigr)",
    )


def _plus(count: int) -> str:
    return f"+{count}" if count else ""
