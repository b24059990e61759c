"""Points to compare: runs, or runs averaged over their seeds."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.choice import Spec
from sdqviz.error import InputError
from sdqviz.experiments.compare.figures import FIGURES
from sdqviz.experiments.run import Run
from sdqviz.explore.wording import number
from sdqviz.methods import METHODS
from sdqviz.report import LayerReport
from sdqviz.strict_json import canonical

BASELINE = "round-to-nearest"
"""The method that stands beside all others."""

SHIPPED, SESSION = "shipped", "this session"
"""Where a run comes from; imported runs carry the name of their file."""

BRIEF = 3
"""Settings that a sentence names; a table has them all."""


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One point: a run, or the mean of runs that differ in their seeds alone.

    Attributes
    ----------
    runs : tuple of Run
        At least one.
    origin : str
        Where they come from.
    """

    runs: tuple[Run, ...]
    origin: str

    @property
    def run(self) -> Run:
        """The first run."""
        return self.runs[0]

    @property
    def key(self) -> str:
        """Key of the first run."""
        return self.run.key

    @property
    def network(self) -> str:
        """Name of the network."""
        return str(self.run.network.get("name", ""))

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.run.method.get("name", ""))

    @property
    def called(self) -> str:
        """What people call the method."""
        return METHODS.called(self.method)

    @property
    def failed(self) -> bool:
        """Whether there are no figures."""
        return all(run.report is None for run in self.runs)

    @functools.cached_property
    def values(self) -> Mapping[str, float]:
        """Mean of each figure by name."""
        return {name: _mean(self._of(name)) for name in FIGURES}

    def spread(self, name: str) -> float:
        """Return the standard deviation of a figure, n − 1 in the denominator; NaN for a single run."""
        values = self._of(name)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def _of(self, name: str) -> list[float]:
        return [FIGURES[name].read(run.report) for run in self.runs if run.report is not None]

    @functools.cached_property
    def settings(self) -> str:
        """The method's fields that are not at their default, as people read them."""
        return ", ".join(self._changed) or "as is"

    @property
    def brief(self) -> str:
        """The first of them, for a sentence."""
        more = len(self._changed) - BRIEF
        return self.settings if more < 2 else f"{', '.join(self._changed[:BRIEF])} and {more} more settings"

    @functools.cached_property
    def _changed(self) -> list[str]:
        said = said_fields(self.run.method)
        return [
            f"{label} {value}" if value[:1] in "-0123456789" else f"{label}: {value}" for label, value in said.items()
        ]

    @functools.cached_property
    def title(self) -> str:
        """Method and settings, and what the network and the seeds are."""
        seeds = f"{len(self.runs)} seeds" if len(self.runs) > 1 else f"seed {self.run.seed}"
        return f"{self.called}: {self.settings} · {self.network} {self.run.network.get('seed', '')}, {seeds}"

    @functools.cached_property
    def names(self) -> str:
        """Method and settings as the program names them."""
        return " ".join([self.method, *(f"{k} {_plain(v)}" for k, v in changed_fields(self.run.method).items())])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def said_fields(method: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of `changed_fields` in the words of their forms; names and values where there is no form."""
    name, found = str(method.get("name")), {}
    specs = METHODS[name].specs() if name in METHODS else {}
    for field, value in changed_fields(method).items():
        spec = specs.get(field, Spec(field, ""))
        label = spec.label[:1].lower() + spec.label[1:] if spec.label[1:2].islower() else spec.label
        words = spec.words(value) if isinstance(value, str) else _plain(value)
        found[label] = {"True": "yes", "False": "no"}.get(words, words)
    return found


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return " ".join(f"{name}:{number(float(entry))}" for name, entry in value.items())
    return str(value)


def changed_fields(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's fields that differ from the defaults of its class; ``bits`` always; all of an unknown method.

    Parameters
    ----------
    method : mapping
        As a choice's ``to_dict`` gives it.
    """
    name = str(method.get("name"))
    defaults: Mapping[str, Any] = METHODS[name].defaults() if name in METHODS else {}
    return {
        field: value
        for field, value in method.items()
        if field != "name"
        and value is not None
        and value != {}
        and (field == "bits" or value != defaults.get(field, {}))
    }


def entries(runs: Iterable[tuple[Run, str]], averaged: bool) -> tuple[Entry, ...]:
    """Return the points of runs, each given with its origin; a run that comes twice is taken once.

    Parameters
    ----------
    runs : iterable of (Run, str)
        Runs and their origins.
    averaged : bool
        Join the runs that differ in their seeds alone, those of the network and of the run; failed runs stay alone.
    """
    groups: dict[str, tuple[list[Run], str]] = {}
    seen: set[str] = set()
    for run, origin in runs:
        if run.key in seen:
            continue
        seen.add(run.key)
        network = {name: value for name, value in run.network.items() if name != "seed"}
        alike = canonical([network, dict(run.method), run.calibration, run.version, origin])
        group = alike if averaged and run.report is not None else run.key
        groups.setdefault(group, ([], origin))[0].append(run)
    return tuple(Entry(tuple(found), origin) for found, origin in groups.values())


MOST_LAYERS = 2000
"""Layers of a run from a file."""


def _drawable(row: LayerReport) -> bool:
    sizes = all(isinstance(length, int) and 0 < length < 2**40 for length in row.shape)
    return sizes and len(row.name) <= 300 and all(abs(v) < 1e18 for v in (row.levels, row.overload, row.size))


def check(runs: Sequence[Run]) -> None:
    """Refuse runs of a stranger's file whose figures cannot be shown.

    Raises
    ------
    InputError
        Naming the first such run.
    """
    for run in runs:
        try:
            one = Entry((run,), "")
            values = [*one.values.values(), float(run.seed), float(run.calibration), float(run.seconds)]
            said = [one.title, run.label, run.problem, run.version]
            fine = not any(math.isinf(value) or abs(value) > 1e18 for value in values) and max(map(len, said)) < 2000
            accuracy = one.values["accuracy"]
            fine = fine and (math.isnan(accuracy) or 0 <= accuracy <= 1)
            layers = () if run.report is None else run.report.layers
            fine = fine and len(layers) <= MOST_LAYERS and all(map(_drawable, layers))
        except (TypeError, ValueError, OverflowError, AttributeError):
            fine = False
        if not fine:
            raise InputError(f"runs must have figures that can be drawn, got others in the run {run.key[:12]!r}")
