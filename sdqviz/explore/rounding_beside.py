"""The report of a run with plain rounding of the same size beside it, as numbers that can be stored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.compression.packing import kept_tensors
from sdqviz.methods.calibrated.scale import AUTO, ScaleFit, candidates
from sdqviz.methods.round_to_nearest import RoundToNearest
from sdqviz.report import Report

if TYPE_CHECKING:
    from sdqviz.compression.compress import Compression

FITS = ("max", "mse")
"""How the scale of the rounding beside is fitted; both are run."""

FINEST_FIRST = ("per-32", "per-64", "per-128", "per-neuron", "per-layer")
"""What may share a step in the rounding beside."""


@dataclasses.dataclass(frozen=True)
class Rounding:
    """Plain rounding with the most bits, then the finest grain, that cost no more than the run it stands beside.

    Attributes
    ----------
    bits : int
        Bits per weight.
    scale : str
        One step per so many inputs of a neuron, per neuron, or per layer: the finest the run leaves room for.
    affordable : bool
        False if even one bit costs more than the run.
    reports : dict of str to Report
        By how the scale was fitted, see `FITS`, each with the alphabet of the least error; only the better fit is run
        over the test set.
    parts : dict of str to float
        Bytes by what they hold.
    weights : dict of str to ndarray
        Rounded weights of each layer, float32, by the better fit; empty in a stored comparison.
    """

    bits: int
    scale: str
    affordable: bool
    reports: Mapping[str, Report]
    parts: Mapping[str, float]
    weights: Mapping[str, Array] = dataclasses.field(default_factory=dict, compare=False)

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
                "bits": self.rounding.bits,
                "scale": self.rounding.scale,
                "affordable": self.rounding.affordable,
                "reports": {fit: _timeless(one) for fit, one in self.rounding.reports.items()},
                "parts": dict(self.rounding.parts),
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Comparison:
        """Rebuild a comparison from `to_dict`."""
        other = dict(values["rounding"])
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


def rounding_bits_per_weight(run: Compression, bits: int, scale: str, zero_points: bool = False) -> float:
    """Return what plain rounding of the same layers costs at most, biases kept, everything counted.

    Parameters
    ----------
    run : Compression
        The run it is to stand beside.
    bits : int
        Bits of a level.
    scale : str
        One of `sdqviz.methods.calibrated.scale.SCALES`.
    zero_points : bool
        Whether every step has one, as of an affine alphabet.

    Notes
    -----
    A code for each weight; where a map of the zeros is shorter, rounding costs less.
    """
    kept = kept_tensors(run.original, tuple(dataclasses.replace(item, bias=None) for item in run.layers))
    total = 8 * sum(value.nbytes for value in kept.values())
    asked = ScaleFit(scale, "max").block
    for item in run.layers:
        width = item.weight[0].size
        block = asked if asked < width else 0
        steps = 1 if scale == "per-layer" else len(item.weight) * (math.ceil(width / block) if block else 1)
        total += 8 * math.ceil(item.weight.size * bits / 8) + FLOAT_BITS * steps
        total += 8 * math.ceil(steps * bits / 8) * zero_points
        total += 16 if block else 8  # how the codes are read, and the length of a block
    return total / (sum(item.weight.size for item in run.layers) + sum(value.size for value in kept.values()))


def dearest_rounding(run: Compression, limit: float) -> tuple[int, str, tuple[str, ...]] | None:
    """Return the most bits, at these the finest grain, and the alphabets of plain rounding within a limit.

    Parameters
    ----------
    run : Compression
        The run it is to stand beside.
    limit : float
        Bits per weight that may be spent.

    Returns
    -------
    tuple of (int, str, tuple of str) or None
        Bits, scale, and the alphabets to try: auto, or those without zero points where these cost too much. None if
        nothing is within the limit.
    """
    most = int(RoundToNearest.specs()["bits"].maximum or 1)
    for bits in range(min(most, math.floor(limit)), 0, -1):
        for scale in FINEST_FIRST:
            if rounding_bits_per_weight(run, bits, scale, zero_points=bits > 1) <= limit:
                return bits, scale, (AUTO,)
            if rounding_bits_per_weight(run, bits, scale) <= limit:
                return bits, scale, tuple(name for name in candidates(AUTO, bits) if name != "affine")
    return None


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
