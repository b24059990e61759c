"""What a proved statement says: a value, the hypotheses it rests on, each checked, and where it is proved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import TypeVar

from sdqviz.error import InputError

CZAJA_NA = "Czaja & Na, arXiv 2404.08131"
BPY = "Benedetto, Powell & Yılmaz, IEEE Trans. Inf. Theory 52 (2006)"


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One condition of a theorem, and what was found of it.

    Attributes
    ----------
    name : str
        Slug, for example ``"tight"``.
    needs : str
        What the theorem asks.
    got : str
        What is so here, as a part of a sentence, with numbers.
    met : bool
        Whether that is enough.
    """

    name: str
    needs: str
    got: str
    met: bool

    def __post_init__(self) -> None:
        """Keep plain values: a comparison of arrays' numbers gives numpy's own."""
        object.__setattr__(self, "met", bool(self.met))


def condition(name: str, needs: str, met: bool, otherwise: str = "", got: str = "") -> Hypothesis:
    """Return a hypothesis: where met, ``got`` (``needs`` itself if not given), else ``otherwise``."""
    return Hypothesis(name, needs, (got or needs) if met else otherwise, met)


def together(name: str, what: str, hypotheses: Iterable[Hypothesis]) -> Hypothesis:
    """Join the hypotheses of a part, such as one layer, to one; what fails is told, or else all that is met."""
    every = tuple(hypotheses)
    told = [one for one in every if not one.met] or every
    return Hypothesis(
        name,
        f"{what}: {'; '.join(one.needs for one in every)}",
        f"{what}: {'; '.join(one.got for one in told)}",
        all(one.met for one in every),
    )


@dataclasses.dataclass(frozen=True)
class Bound:
    """An upper bound with the reasons to believe it.

    Attributes
    ----------
    name, title : str
        Slug, and what people read.
    value : float
        The bound; it may be computed even where a hypothesis fails.
    hypotheses : tuple of Hypothesis
        What the statement rests on, each checked; that the value is finite among them where it is not.
    reference : str
        Where the statement is proved.
    text : str
        Slug of the text in ``assets/texts`` that proves it.
    formula, substituted : str
        LaTeX of the formula, and of the same formula with the current numbers put in.
    note : str
        Further sentences, such as what a probability speaks of.
    """

    name: str
    title: str
    value: float
    hypotheses: tuple[Hypothesis, ...]
    reference: str
    text: str
    formula: str
    substituted: str
    note: str = dataclasses.field(default="", kw_only=True)

    @property
    def holds(self) -> bool:
        """Whether every hypothesis was verified and the value is finite."""
        return all(one.met for one in self.hypotheses)

    @property
    def reason(self) -> str:
        """The hypotheses that fail, or all where none does, with numbers, as a part of a sentence."""
        return reason(self.hypotheses)

    @property
    def because(self) -> str:
        """Sentences: the hypotheses met, or those that fail, with numbers."""
        return because(self.hypotheses, self.note)


B = TypeVar("B", bound=Bound)


def reason(hypotheses: Iterable[Hypothesis]) -> str:
    """Return what fails, or all hypotheses where nothing does, as a part of a sentence."""
    every = tuple(hypotheses)
    told = [one for one in every if not one.met] or every
    return "; ".join(one.got for one in told) or "there are none"


def because(hypotheses: Iterable[Hypothesis], note: str = "") -> str:
    """Return the sentences that say why a statement holds or does not apply."""
    every = tuple(hypotheses)
    begin = "All hypotheses hold" if all(one.met for one in every) else "Not applicable"
    return f"{begin}: {reason(every)}. {note}".rstrip()


def bound(
    name: str,
    title: str,
    value: float,
    hypotheses: Iterable[Hypothesis],
    *,
    reference: str,
    text: str,
    formula: str,
    substituted: str,
) -> Bound:
    """Assemble a `Bound`: that its value is finite is a hypothesis like the others.

    ``substituted`` is the formula with numbers, without the result, which is appended.
    """
    value = float(value)
    checked = tuple(hypotheses)
    if not math.isfinite(value):
        checked = (*checked, Hypothesis("finite", "the value is finite", f"the value is not finite ({value})", False))
    return Bound(name, title, value, checked, reference, text, formula, f"{substituted} = {number_tex(value)}")


def not_applicable(name: str, title: str, reason: str, *, text: str = "network-bound") -> Bound:
    """Return the bound of something outside a theorem's class: no value, and the reason."""
    outside = Hypothesis("class", "what the theorem speaks of", reason, False)
    return Bound(name, title, math.nan, (outside,), "", text, "", "")


def smallest(bounds: Iterable[B], fits: Callable[[B], bool]) -> B:
    """Return the bound of smallest value among those that fit; if none does, among all.

    Raises
    ------
    InputError
        If there is none at all.
    """
    candidates = tuple(bounds)
    if not candidates:
        raise InputError("bounds must contain at least one bound, got none")
    fitting = [one for one in candidates if fits(one)]
    return min(fitting or candidates, key=lambda one: one.value if math.isfinite(one.value) else math.inf)


def tightest(bounds: Iterable[Bound]) -> Bound:
    """Return the bound of smallest value among those that hold; if none holds, among all.

    Raises
    ------
    InputError
        If there is none at all.
    """
    return smallest(bounds, lambda one: one.holds)


def number_tex(value: float) -> str:
    r"""Format a number for LaTeX: three significant digits, whole numbers in full.

    Examples
    --------
    >>> number_tex(1000), number_tex(0.000012345), number_tex(2.5)
    ('1000', '1.23\\times10^{-5}', '2.5')
    """
    if math.isnan(value):
        return r"\text{undefined}"
    if math.isinf(value):
        return r"\infty" if value > 0 else r"-\infty"
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return rf"{mantissa}\times10^{{{int(exponent)}}}" if exponent else mantissa
