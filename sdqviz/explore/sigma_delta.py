"""The ΣΔ Lab: from its link to the walk, the spectra of both errors, and what is said of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.explore import vector
from sdqviz.explore.stored import chosen, picked
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import begun, number, percent
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.frames.walk import walked
from sdqviz.sigma_delta.taps import FIRST, Taps
from sdqviz.sigma_delta.trace import Trace

LONG = 2000
"""Entries of a pasted vector written out in the code."""


UNLESS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "network": lambda values: values["input"] != "weights",
    "layer": lambda values: values["input"] != "weights",
    "column": lambda values: values["input"] != "weights",
    "pasted": lambda values: values["input"] != "pasted",
    "filter": lambda values: values["order"] < 2,
    "dual": lambda values: values["order"] < 1,
    "step": lambda values: values["step_rule"] != "by-hand",
}
"""Which fields of the form are left out, by the values before them: those that would change nothing."""


BINS = 400
"""Frequencies drawn in a spectrum; neighbours are averaged above it."""


def build(choices: Mapping[str, Any]) -> VectorRun:
    """Run what the parameters of the page's link describe."""
    asked, family, ordering = _asked(choices)
    seed = int(choices.get("seed", 0))
    found = walked(family, ordering, seed)
    step = asked.step if asked.step_rule == "by-hand" else asked.step_rule
    x = asked.vector(found.frame.dimension, seed)
    return vector.run(x, found.frame, found.visits, asked.bits, step, found.walk, asked.scheme)


def _asked(choices: Mapping[str, Any]) -> tuple[vector.VectorChoice, FrameChoice, PermutationChoice]:
    asked = chosen(vector.VectorChoice, choices)
    fixed = asked.fixed_dimension
    values = dict(choices) if fixed is None else {**choices, "dimension": fixed}
    family = picked(FRAMES, values, "frame", "harmonic")
    return asked, family, picked(PERMUTATIONS, values, "permutation", "identity", "permutation_")


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link."""
    run = build(choices)
    return {
        "bits_per_weight": run.bits_per_weight,
        "relative_error": run.error / run.norm,
        "relative_error_pcm": run.rounded_error / run.norm,
        "relative_error_plain": run.plain_error / run.norm,
        "bound": run.tightest.value / run.norm,
        "bound_holds": run.tightest.holds and run.error <= run.tightest.value,
        "overload": run.overload,
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """Power spectra of the two error sequences x_n − q_n, in dB over δ²/12.

    Attributes
    ----------
    frequency : ndarray, shape (m,)
        Cycles per step, above 0 up to ½.
    sigma_delta, rounding, model : ndarray, shape (m,)
        Measured for ΣΔ and for rounding, and |H(f)|², what white state noise would give; of D^r |2 sin πf|^(2r).
    """

    frequency: Array
    sigma_delta: Array
    rounding: Array
    model: Array

    @property
    def low_gap(self) -> float:
        """How many dB ΣΔ lies below rounding, averaged over the lowest eighth of the frequencies."""
        low = self.frequency <= 1 / 16
        return float((self.rounding[low] - self.sigma_delta[low]).mean()) if low.any() else float("nan")

    @property
    def rise(self) -> float:
        """How many dB the error of ΣΔ rises from the lowest to the highest third of the frequencies."""
        third = max(len(self.frequency) // 3, 1)
        return float(self.sigma_delta[-third:].mean() - self.sigma_delta[:third].mean())


def growth(errors: Array) -> float:
    """Return by what factor an error grows along a walk: its median in the last quarter over that in the second."""
    quarter = max(len(errors) // 4, 1)
    early, late = np.median(errors[quarter : 2 * quarter + 1]), np.median(errors[-quarter:])
    return float(late / max(early, 1e-300))


def spectrum_info(run: VectorRun) -> Spectrum:
    """Compute the spectra of the errors along the walk; long ones are averaged over neighbours."""
    size = run.frame.size
    frequency = np.fft.rfftfreq(size)[1:]

    def power(trace: Trace) -> Array:
        raw: Array = np.abs(np.fft.rfft(trace.coefficients - trace.quantized)[1:]) ** 2 / size
        return raw / (run.step**2 / 12)

    measured = np.array([power(run.trace), power(run.rounded)])
    stride = -(-len(frequency) // BINS)
    starts = np.arange(0, len(frequency), stride)
    counts = np.diff([*starts, len(frequency)])
    frequency = np.add.reduceat(frequency, starts) / counts
    measured = np.add.reduceat(measured, starts, axis=1) / counts
    decibel = 10 * np.log10(np.maximum(measured, 1e-12))
    return Spectrum(frequency, decibel[0], decibel[1], 20 * np.log10(np.maximum(transfer(run.taps, frequency), 1e-6)))


def transfer(taps: Taps, frequency: Array) -> Array:
    """Return |H(f)| = |1 − Σ_j h_j e^{−2πi f n_j}| of a filter: what it makes of an error at each frequency."""
    lags, weights = taps.arrays()
    return np.asarray(np.abs(1 - np.exp(-2j * np.pi * np.outer(frequency, lags)) @ weights))


def verdict_on_rounding(run: VectorRun) -> str | None:
    """Say so, in one sentence, when rounding the vector itself beats ΣΔ at the same bits per weight."""
    if run.plain_bits < 1 or run.plain_error >= run.error:
        return None
    return (
        f"Plain rounding wins here: with {run.plain_bits} bits a weight, no more than the "
        f"{number(run.level_bits)} spent "
        f"on {run.called}'s levels, rounding the vector itself leaves {percent(run.plain_error / run.norm)} error; "
        f"{run.called} leaves "
        f"{percent(run.error / run.norm)}. What ΣΔ buys is coarser levels with a proved error, not fewer bits."
    )


def verdict_on_tie(run: VectorRun) -> str | None:
    """Say so, in one sentence, when the walk ends on a threshold: its last level is then a matter of a rule."""
    if not run.tied:
        return None
    other = float(np.linalg.norm(run.vector - run.reconstruction + run.step * run.last))
    return (
        f"N = {run.frame.size} is odd and Σeₙ = 0, so the last step ends exactly on a threshold, |u_N| = δ/2. Up, as "
        f"here, it leaves {percent(run.error / run.norm)}; down it would leave {percent(other / run.norm)}. The method "
        "frame takes the better of the two; with an even N there is no tie."
    )


def code(choices: Mapping[str, Any], run: VectorRun) -> str:
    """Return the lines that compute the page's numbers."""
    asked, chosen_frame, chosen_walk = _asked(choices)
    family, walk = chosen_frame.to_dict(), chosen_walk.to_dict()
    source = {
        "gaussian": f"x = np.random.default_rng([{choices['seed']}, 1]).standard_normal({run.frame.dimension})",
        "sine": f"x = np.sin(4 * np.pi * (np.arange({run.frame.dimension}) + 0.5) / {run.frame.dimension})",
        "weights": f"x = weight_column({asked.network!r}, layer={asked.layer}, column={asked.column})",
        "pasted": f"x = np.array({np.array2string(run.vector, separator=', ', threshold=LONG)})",
    }[asked.input]
    imports = "import numpy as np\nimport sdqviz as sq\n"
    if asked.input == "weights":
        imports += "from sdqviz.explore.shipped_weights import weight_column\n"
    scheme, shaping, dual, back = run.scheme, "", "", "frame"
    if run.taps != FIRST:
        shaping = f", order={scheme.order}, filter={scheme.filter!r}"
    if not scheme.canonical:
        along = "" if np.array_equal(run.order, np.arange(run.frame.size)) else ", walk"
        dual, back = f"dual = sq.DUALS[{scheme.dual!r}]().build(frame, quantizer.taps{along})\n", "dual"
    return f"""{imports}
{source}
frame = sq.FRAMES[{family.pop("name")!r}]({_arguments(family)}).build(seed={choices["seed"]})
walk = sq.PERMUTATIONS[{walk.pop("name")!r}]({_arguments(walk)}).order(frame, seed={choices["seed"]})
quantizer = sq.SigmaDelta(bits={run.bits}, step={run.step!r}{shaping})
trace = quantizer.run(frame.analyze(x)[walk])

levels = np.empty(frame.size)
levels[walk] = trace.quantized           # back in the order of the frame
{dual}error = np.linalg.norm(x - {back}.synthesize(levels)) / np.linalg.norm(x)   # {run.error / run.norm:.6g}"""


def _arguments(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())


STEADY = (0.67, 1.5)
"""Factors between which an error is said to stay."""


def errors_told(run: VectorRun) -> str:
    """Say how both errors go, from the curves that are drawn."""
    mine, other = growth(run.running_error), growth(run.rounded_running_error)

    def grows(factor: float) -> str:
        if factor < STEADY[0]:
            return f"falls to {number(factor)} of"
        return f"stays at {number(factor)} times" if factor <= STEADY[1] else f"grows to {number(factor)} times"

    who = run.called
    told = (
        f"From the second quarter to the last {who}'s error {grows(mine)} what it was, that of rounding {grows(other)}."
    )
    if not run.trace.stable:
        return f"The quantizer is overloaded, and the dashed curve is no bound. {told}"
    if run.bounds[0].holds and bool((run.running_error <= run.running_bound * (1 + 1e-9)).all()):
        told += f" {begun(who)} stays under the dashed bound at every step."
    if not run.taps.order:
        told += " Order 0 is rounding, so both are one curve."
    elif run.rounded_error <= run.error:
        told += " Here rounding each coefficient on its own ends no worse than ΣΔ."
    return told
