"""One point of a sweep: what is bounded, what can be moved of it, what was measured there and what is proved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path import ProbabilisticBound
from sdqviz.bounds.statement import Bound, Hypothesis, because, reason
from sdqviz.choice import Choice
from sdqviz.error import InputError
from sdqviz.progress import ShouldStop

PARITIES = ("even", "odd", "any")
"""Which whole numbers a sweep of N takes: with N even the last state of a zero-sum frame vanishes."""

A_PRIORI, A_POSTERIORI = "a-priori", "a-posteriori"


@dataclasses.dataclass(frozen=True)
class Axis:
    """What can be swept: one field of a subject, moved along a logarithmic axis.

    Attributes
    ----------
    field : str
        The field that is moved.
    title : str
        Title of the axis, with units.
    low, high : float
        Range at first.
    least, most : float
        The widest range.
    whole : bool
        Whether values are whole numbers.
    fixed : tuple of (str, value)
        Other fields that go with it, for instance the rule that makes δ a number of one's own.
    position : callable
        From the value to where it is drawn: the value itself, or the gaps between the levels for a number of bits, so
        that a power law is a line.
    parity : bool
        Whether it matters if values are even or odd.
    """

    field: str
    title: str
    low: float
    high: float
    least: float
    most: float
    whole: bool = True
    fixed: tuple[tuple[str, Any], ...] = ()
    position: Callable[[float], float] = float
    parity: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All fields this axis decides."""
        return (self.field, *(name for name, _ in self.fixed))

    def values(self, low: float, high: float, count: int, parity: str = "any") -> tuple[float, ...]:
        """Return at most ``count`` values from ``low`` to ``high``, evenly spaced on a logarithmic axis.

        Raises
        ------
        InputError
            If the range does not go upwards or leaves the axis's own, or there are fewer than two points.

        Examples
        --------
        >>> Axis("size", "N", 8, 64, 1, 100, parity=True).values(8, 64, 4, "odd")
        (9, 17, 33, 65)
        >>> Axis("bits", "bits", 1, 8, 1, 8).values(2, 5, 9)
        (2, 3, 4, 5)
        """
        if not low < high:
            raise InputError(f"the end of the range must be above its beginning {low:g}, got {high:g}")
        if not (self.least <= low and high <= self.most):
            raise InputError(f"{self.field} must be between {self.least:g} and {self.most:g}, got {low:g} to {high:g}")
        if count < 2:
            raise InputError(f"points must be at least 2, got {count}")
        spaced = np.geomspace(low, high, count)
        if not self.whole:
            return tuple(float(f"{value:.6g}") for value in spaced)
        if high - low + 1 <= count:
            spaced = np.arange(low, high + 1)
        whole = np.rint(spaced).astype(int)
        if self.parity and parity != "any":
            whole = 2 * ((whole + (parity == "even")) // 2) + (parity == "odd")
        return tuple(dict.fromkeys(whole.tolist()))


@dataclasses.dataclass(frozen=True, eq=False)
class Promise:
    """One bound at one point, for every run of it.

    Attributes
    ----------
    name, title, kind : str
        Slug, what people read, and ``"a-priori"`` or ``"a-posteriori"`` (which uses what was measured).
    values : ndarray, shape (runs,)
        The bound for each run.
    holds : ndarray of bool, shape (runs,)
        Whether all its hypotheses are met.
    hypotheses : tuple of Hypothesis
        Those of the first run in which one fails, or of the first run.
    probability : float
        With which it is stated; 1 for certain.
    reference, text, formula, substituted : str
        As in `sdqviz.bounds.statement.Bound`, with the numbers of the first run.
    """

    name: str
    title: str
    kind: str
    values: Array
    holds: Array
    hypotheses: tuple[Hypothesis, ...]
    probability: float
    reference: str
    text: str
    formula: str
    substituted: str
    note: str = ""

    @property
    def reason(self) -> str:
        """The hypotheses that fail, or all where none does, as a part of a sentence."""
        return reason(self.hypotheses)

    @property
    def because(self) -> str:
        """Sentences that say why it holds, or why it does not apply."""
        return because(self.hypotheses, self.note)

    @classmethod
    def of(cls, bounds: Sequence[Bound], kind: str = A_PRIORI) -> Self:
        """Join one bound per run."""
        first = bounds[0]
        told = next((one for one in bounds if not one.holds), first)
        stated = [one.probability if isinstance(one, ProbabilisticBound) else 1.0 for one in bounds]
        return cls(
            first.name, first.title, kind, np.array([one.value for one in bounds], float),
            np.array([one.holds for one in bounds], bool), told.hypotheses, min(stated),
            first.reference, first.text, first.formula, first.substituted, told.note,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, numbers that are not finite as None."""
        return dataclasses.asdict(self) | {"values": _listed(self.values), "holds": self.holds.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Invert `to_dict`; files of 0.2 hold a sentence for the hypotheses."""
        given, holds = dict(values), np.array(values["holds"], bool)
        sentence = given.pop("because", None)
        if sentence is not None:
            told = sentence.partition(": ")[2].rstrip(".")
            given["hypotheses"] = [{"name": "told", "needs": told, "got": told, "met": bool(holds.all())}]
        hypotheses = tuple(Hypothesis(**one) for one in given["hypotheses"])
        return cls(**given | {"values": _array(given["values"]), "holds": holds, "hypotheses": hypotheses})


def promises(bounds: Iterable[Sequence[Bound]], kind: str = A_PRIORI) -> tuple[Promise, ...]:
    """Join, for each run, its bounds in one order, to one `Promise` for each bound."""
    return tuple(Promise.of(column, kind) for column in zip(*bounds, strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """What was measured and what is proved at one point of a sweep.

    Attributes
    ----------
    measured : ndarray, shape (runs,)
        The error of each run.
    beside : mapping of str to ndarray
        Errors of what stands beside, plain rounding first.
    promises : tuple of Promise
        Bounds on ``measured``.
    bits_per_weight : float
        Bits stored per original weight, scales included.
    facts : mapping of str to float
        Further numbers, such as the step δ, medians over the runs.
    """

    measured: Array
    beside: Mapping[str, Array]
    promises: tuple[Promise, ...]
    bits_per_weight: float
    facts: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` inverts it."""
        return {
            "measured": _listed(self.measured),
            "beside": {name: _listed(values) for name, values in self.beside.items()},
            "promises": [one.to_dict() for one in self.promises],
            "bits_per_weight": self.bits_per_weight,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Invert `to_dict`."""
        return cls(
            _array(values["measured"]),
            {name: _array(given) for name, given in values["beside"].items()},
            tuple(Promise.from_dict(one) for one in values["promises"]),
            values["bits_per_weight"],
            dict(values["facts"]),
        )


def _listed(values: Array) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in np.asarray(values, float).tolist()]


def _array(values: Sequence[float | None]) -> Array:
    return np.array([math.nan if value is None else value for value in values], float)


@dataclasses.dataclass(frozen=True)
class Rate:
    """The exponent a theorem gives the error along an axis.

    Attributes
    ----------
    exponent : float
        Of the swept quantity.
    because : str
        Which statement says so, in a few words.
    """

    exponent: float
    because: str


@dataclasses.dataclass(frozen=True)
class Mark:
    """A value on an axis at which something changes, and what.

    Attributes
    ----------
    value : float
        Of the swept quantity.
    text : str
        What changes there.
    """

    value: float
    text: str


Rule = tuple[str, tuple[Any, ...]]
"""The name of a field, and values of it."""


class Subject(Choice):
    """Base of what is bounded: a choice that can be measured at one point, and says what of it can be swept."""

    axes: ClassVar[Mapping[str, Axis]]
    error: ClassVar[str]
    """What is measured, as a formula in Unicode: the title of the vertical axis."""
    only: ClassVar[Mapping[str, tuple[Rule, ...]]] = {}
    """Fields that count only where other fields have one of these values each."""

    @property
    def error_title(self) -> str:
        """What is measured with these choices."""
        return self.error

    def admissible(self) -> Self:
        """Return the nearest choice there is, such as the next N for which a family has a frame."""
        return self

    def at(self, axis: Axis, value: float) -> Self:
        """Return the choice with one field moved."""
        values = {name: getattr(self, name) for name in self.specs()}
        return type(self)(**values | dict(axis.fixed) | {axis.field: value}).admissible()

    def measure(self, seed: int, should_stop: ShouldStop | None = None) -> Point:
        """Run and bound everything at this point."""
        raise NotImplementedError

    def estimated_seconds(self) -> float:
        """Return roughly how long `measure` takes."""
        raise NotImplementedError

    def marks(self, axis: str) -> tuple[Mark, ...]:
        """Return where on an axis something changes."""
        return ()

    def rate(self, axis: str, points: Sequence[Point]) -> Rate | None:
        """Return what theory says of the slope along an axis, None where it says nothing as a power."""
        return None
