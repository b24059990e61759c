"""Figures of speed, each with its yardstick, ratio, threads and machine; those of the reference machine are shipped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.strict_json import read_json, write_json

REPEATS = 7
"""Turns of the pieces of work that are compared."""

REFERENCE = "bench.json"
"""Name, in the assets folder, of the figures of the reference machine."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured time and what it is held against.

    Attributes
    ----------
    name, yardstick : str
        What was timed, and what stands beside it.
    seconds, beside : float
        The least of several repeats of both, which took turns, in seconds: what disturbs only adds.
    threads : str
        Threads of either.
    goal : float or None
        The ratio that is aimed at, at most; None where there is none.
    before : float or None
        What it took another checkout or installation, in seconds, in turns with this one; None where none was measured.
    """

    name: str
    yardstick: str
    seconds: float
    beside: float
    threads: str
    goal: float | None = None
    before: float | None = None

    @property
    def ratio(self) -> float:
        """How many times the yardstick it takes."""
        return self.seconds / self.beside


@dataclasses.dataclass(frozen=True)
class Bench:
    """Figures of one run, and where they were measured.

    Attributes
    ----------
    figures : tuple of Figure
        In order.
    processor : str
        Its name and cores.
    load : float
        Processes that waited for it in the minute before, on average; NaN where the system does not tell.
    versions : str
        Of what computes.
    other : str
        What ``before`` of the figures is about; empty where nothing was measured beside this code.
    """

    figures: tuple[Figure, ...]
    processor: str
    load: float
    versions: str
    other: str = ""

    def write(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(write_json(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Bench | None:
        """Read it; None if there is no such file.

        Raises
        ------
        InputError
            If the file holds no figures.
        """
        if not file.is_file():
            return None
        try:
            given = read_json(file.read_bytes(), f"{file.name} must hold figures of speed")
            return cls(**{**given, "figures": tuple(Figure(**one) for one in given["figures"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{file.name} must hold figures of speed, got {error}") from None


def reference() -> Bench | None:
    """Return the figures of the reference machine that are shipped, if any."""
    return Bench.read(asset.folder() / REFERENCE)


def table(bench: Bench, beside: Bench | None = None) -> list[tuple[str, ...]]:
    """Return the figures as rows of text, header first, with the ratios of the reference machine beside.

    Where another code was measured too, its times and what this one takes of them come last.
    """
    other = {} if beside is None else {(one.name, one.yardstick): one.ratio for one in beside.figures}
    rows = []
    for one in bench.figures:
        known = other.get((one.name, one.yardstick))
        numbers = (f"{1e3 * one.seconds:.1f}", one.yardstick, f"{1e3 * one.beside:.1f}", _times(one.ratio))
        goal = "" if one.goal is None else f"≤ {_times(one.goal)}"
        row: tuple[str, ...] = (one.name, *numbers, goal, "" if known is None else _times(known), one.threads)
        if bench.other:
            row += ("", "") if one.before is None else (f"{1e3 * one.before:.1f}", _times(one.seconds / one.before))
        rows.append(row)
    header = ("figure", "ms", "yardstick", "ms", "ratio", "goal", "reference", "threads")
    return [(*header, "before, ms", "now / before") if bench.other else header, *rows]


def where(bench: Bench) -> str:
    """Return one line on where figures were measured, and how busy it was there."""
    busy = f", load {bench.load:.1f}: others were using the machine" if bench.load > 1 else ""
    other = f"; before: {bench.other}" if bench.other else ""
    return f"the least of {REPEATS} or fewer turns; {bench.processor}{busy}; {bench.versions}{other}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio > 0.5 else f"1/{1 / ratio:.1f}"
