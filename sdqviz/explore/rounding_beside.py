"""The report of a run with plain rounding of the same size beside it, as numbers that can be stored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.array import Array
from sdqviz.report import Report

if TYPE_CHECKING:
    from sdqviz.compression.compress import Compression


@dataclasses.dataclass(frozen=True)
class Rounding:
    """The plain roundings that err least of those that cost no more than the run they stand beside.

    Attributes
    ----------
    affordable : bool
        False if even one bit costs more than the run.
    reports : dict of str to Report
        By how the scale was fitted, see `sdqviz.explore.rounding_choice.FITS`, each with the bits, alphabet, grain and
        width of steps that err least; only the better fit is run over the test set.
    tried : int
        How many roundings were compared; 0 in a comparison stored before they were, whose grain a rule chose.
    parts : dict of str to float
        Bytes by what they hold.
    weights : dict of str to ndarray
        Rounded weights of each layer, float32, by the better fit; empty in a stored comparison.
    """

    affordable: bool
    reports: Mapping[str, Report]
    parts: Mapping[str, float]
    tried: int = 0
    weights: Mapping[str, Array] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def bits(self) -> int:
        """Bits per weight of the better fit."""
        return int(self.best.method["bits"])

    @property
    def scale(self) -> str:
        """What shares a step in the better fit."""
        return str(self.best.method["scale"])

    @property
    def best_fit(self) -> str:
        """The fit with the smaller output error; with the smaller error of the weights where no output is measured."""
        return min(self.reports, key=lambda fit: errors(self.reports[fit]))

    @property
    def best(self) -> Report:
        """The report of the better fit."""
        return self.reports[self.best_fit]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The report of a run with plain rounding beside it: numbers only, so that they can be stored.

    Attributes
    ----------
    report : Report
        The run.
    parts : dict of str to float
        Its bytes by what they hold; they add up to ``report.bytes``.
    rounding : Rounding
        The baseline.
    """

    report: Report
    parts: Mapping[str, float]
    rounding: Rounding

    @property
    def rounding_wins(self) -> bool:
        """Whether plain rounding costs no more and leaves a smaller error of the output, or of weights alone."""
        return self.rounding.affordable and errors(self.rounding.best) < errors(self.report)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the times as plain JSON types, NaN as None; `from_dict` inverts it."""
        return {
            "report": _timeless(self.report),
            "parts": dict(self.parts),
            "rounding": {
                "affordable": self.rounding.affordable,
                "reports": {fit: _timeless(one) for fit, one in self.rounding.reports.items()},
                "parts": dict(self.rounding.parts),
                "tried": self.rounding.tried,
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Comparison:
        """Rebuild a comparison from `to_dict`."""
        fields = [one.name for one in dataclasses.fields(Rounding)]
        other = {name: value for name, value in values["rounding"].items() if name in fields}
        other["reports"] = {fit: _from_timeless(one) for fit, one in other["reports"].items()}
        return cls(_from_timeless(values["report"]), dict(values["parts"]), Rounding(**other))


def parts(run: Compression) -> dict[str, float]:
    """Return the bytes of a compressed network by what they hold; they add up to ``run.report.bytes``."""
    found: dict[str, float] = {}
    for item in run.layers:
        for key, packed in item.stored.items():
            found[key] = found.get(key, 0.0) + packed.byte_count
        found["parameters"] = found.get("parameters", 0.0) + item.parameter_bits / 8
    found["kept"] = run.report.bytes - sum(found.values())
    return found


def mean_weight_error(one: Report) -> float:
    """Return ‖W−Q‖_F/‖W‖_F, averaged over the layers by their weights."""
    total = sum(row.weights for row in one.layers)
    return math.fsum(row.weight_error * row.weights for row in one.layers) / max(total, 1)


def errors(one: Report) -> tuple[float, float]:
    """Return what says how good a run is, the less the better: the error of the output, then that of the weights."""
    return _or_infinite(one.relative_output_error), _or_infinite(mean_weight_error(one))


def _or_infinite(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _timeless(one: Report) -> dict[str, Any]:
    layers = tuple(dataclasses.replace(row, seconds=0.0) for row in one.layers)
    values = dataclasses.replace(one, seconds=0.0, layers=layers).to_dict()
    values["layers"] = [_without_nan(row) for row in values["layers"]]
    return _without_nan(values)


def _from_timeless(values: Mapping[str, Any]) -> Report:
    """Undo `_timeless`; the figures of the test may be None by themselves."""
    tested = ("accuracy_before", "accuracy_after", "changed_predictions")
    rest = {name: math.nan if value is None and name not in tested else value for name, value in values.items()}
    rest["layers"] = [{k: math.nan if v is None else v for k, v in row.items()} for row in values["layers"]]
    return Report.from_dict(rest)


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}
