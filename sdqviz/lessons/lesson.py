"""What a lesson is: a question, how it is guessed, and a reveal whose sentence is built from claims about numbers."""

from __future__ import annotations

import abc
import dataclasses
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sdqviz.array import Array
from sdqviz.choice import Choice
from sdqviz.error import InputError

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "≤": operator.le,
    ">": operator.gt,
    "≥": operator.ge,
    "=": math.isclose,
}

CARDS = ("Question", "Answer", "Why", "Break it")
"""The cards of every lesson, in order."""


@dataclasses.dataclass(frozen=True)
class Number:
    """A guess on a slider.

    Attributes
    ----------
    label : str
        What is guessed, with its unit.
    low, high, step : float
        The slider's range and grain.
    """

    label: str
    low: float
    high: float
    step: float

    def read(self, given: object) -> float:
        """Return a guess as a number of the range.

        Raises
        ------
        InputError
            If it is none.
        """
        try:
            value = float(str(given))
        except ValueError:
            value = math.nan
        if not self.low <= value <= self.high:
            raise InputError(f"guess must be a number from {self.low:g} to {self.high:g}, got {given!r}")
        return value


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A guess among a few answers.

    Attributes
    ----------
    label : str
        What is guessed.
    options : mapping of str to str
        Answers by their name in a link.
    """

    label: str
    options: Mapping[str, str]

    def read(self, given: object) -> str:
        """Return a guess as the name of an answer.

        Raises
        ------
        InputError
            If it is none.
        """
        if given not in self.options:
            raise InputError(f"guess must be one of {', '.join(self.options)}, got {given!r}")
        return str(given)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A guess drawn as a curve through a few points.

    Attributes
    ----------
    label : str
        What is guessed, with its unit.
    at : tuple of float
        Where the points are, ascending.
    unit : str
        What ``at`` counts.
    low, high, step : float
        Range and grain of every point.
    """

    label: str
    at: tuple[float, ...]
    unit: str
    low: float
    high: float
    step: float

    def read(self, given: object) -> tuple[float, ...]:
        """Return a guess as a number of the range for each point.

        Raises
        ------
        InputError
            If it is none.
        """
        if not isinstance(given, list | tuple) or len(given) != len(self.at):
            raise InputError(f"guess must be {len(self.at)} numbers, got {str(given)[:80]!r}")
        return tuple(Number(self.label, self.low, self.high, self.step).read(one) for one in given)

    def distance(self, guessed: object, truth: object) -> tuple[float, int]:
        """Return the mean distance of two curves over the points, and the point at which they are farthest apart."""
        gaps = [abs(one - other) for one, other in zip(self.read(guessed), self.read(truth), strict=True)]
        return sum(gaps) / len(gaps), gaps.index(max(gaps))


Guess = Number | OneOf | Curve


@dataclasses.dataclass(frozen=True)
class Claim:
    """Something a sentence says of two numbers.

    Attributes
    ----------
    what : str
        In words.
    left, right : float
        The numbers.
    relation : str
        One of `RELATIONS`.
    """

    what: str
    left: float
    relation: str
    right: float

    @property
    def holds(self) -> bool:
        """Whether it is true."""
        return RELATIONS[self.relation](self.left, self.right)


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """One thing drawn.

    Attributes
    ----------
    name : str
        For the legend.
    x, y : ndarray
        Points; ``x`` may hold words, which are drawn as bars.
    meaning : {"ours", "rounding", "bound", "original"}
        What it means, which decides how it looks.
    """

    name: str
    x: Array
    y: Array
    meaning: str


@dataclasses.dataclass(frozen=True, eq=False)
class Reveal:
    """What the engine found.

    Attributes
    ----------
    truth : float, str or tuple of float
        The answer, of the guess's kind.
    sentence : str
        What is to be learnt, with the numbers.
    claims : tuple of Claim
        What the sentence says, so that it can be checked.
    series : tuple of Series
        The plot.
    x_title, y_title : str
        Its axes.
    guess_axis : {"x", "y", ""}
        The axis on which a guessed number is drawn; empty if the guess is no number of the plot.
    page : str
        Address of the page that shows the same state.
    choices : mapping
        The parameters of its link.
    log_x, log_y : bool
        Whether an axis is logarithmic.
    """

    truth: float | str | tuple[float, ...]
    sentence: str
    claims: tuple[Claim, ...]
    series: tuple[Series, ...]
    x_title: str
    y_title: str
    page: str
    choices: Mapping[str, Any]
    guess_axis: str = ""
    log_x: bool = False
    log_y: bool = False


@dataclasses.dataclass(frozen=True)
class Lesson(Choice, abc.ABC):
    """One lesson: a few cards about one question.

    Attributes
    ----------
    place : int
        Its place among the lessons, from 1.
    question : str
        What is asked, with all that is needed to guess.
    guess : Number, OneOf or Curve
        How it is guessed.
    why : str
        The reason, in a few sentences; LaTeX between dollar signs.
    proof : str
        Name of the proof below ``assets/texts`` without its ending; empty if there is none.
    break_it : str
        What to try on the page it links to.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    place: ClassVar[int]
    question: ClassVar[str]
    guess: ClassVar[Guess]
    why: ClassVar[str]
    proof: ClassVar[str] = ""
    break_it: ClassVar[str]

    @abc.abstractmethod
    def reveal(self) -> Reveal:
        """Let the engine compute the answer."""

    def surprise(self, guessed: object, found: Reveal) -> str:
        """Say in a few words how a guess compares with the answer."""
        if isinstance(self.guess, OneOf):
            if guessed == found.truth:
                return "Your guess was right."
            return f"You guessed “{self.guess.options[str(guessed)]}”; it is “{self.guess.options[str(found.truth)]}”."
        if isinstance(self.guess, Curve):
            return self._surprise_of_curve(self.guess, guessed, found)
        value, truth = self.guess.read(guessed), float(str(found.truth))
        if abs(value - truth) <= max(self.guess.step, 0.1 * abs(truth)):
            return f"You guessed {value:g}; it is {truth:.3g}: close."
        return f"You guessed {value:g}; it is {truth:.3g}: {'more' if truth > value else 'less'} than you thought."

    @staticmethod
    def _surprise_of_curve(asked: Curve, guessed: object, found: Reveal) -> str:
        mean, place = asked.distance(guessed, found.truth)
        drawn, true = asked.read(guessed)[place], asked.read(found.truth)[place]
        if mean <= max(asked.step, 0.1 * (asked.high - asked.low)):
            return f"Your curve is off by {mean:.3g} on average: close."
        return (
            f"Your curve is off by {mean:.3g} on average, most at {asked.at[place]:g} {asked.unit}: you drew "
            f"{drawn:g}, it is {true:.3g}."
        )
