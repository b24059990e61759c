"""The states that ΣΔ left behind in a compressed layer, rebuilt from what was stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.layer import layer_bound_states, layer_bounds
from sdqviz.bounds.noise_shaping import Shaping, layer_bound_shaped_states, layer_bound_shaping
from sdqviz.bounds.spreading import layer_bound_rounding
from sdqviz.bounds.statement import Bound, Hypothesis
from sdqviz.frames import FRAMES
from sdqviz.frames.signs import signed
from sdqviz.frames.walk import Walk
from sdqviz.kernels.spectral_norm import spectral_norm
from sdqviz.methods.frame_vectors import Carrier, walk_through
from sdqviz.methods.method import CompressedLayer, layer_vectors
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.dual import filtered
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.taps import FIRST
from sdqviz.storage.bits import unpack_steps


def walk_states(result: CompressedLayer, rows: slice = slice(None)) -> tuple[Walk, Array]:
    """Return the walk of a layer this method compressed and its states u_n, rebuilt from what was stored.

    Parameters
    ----------
    result : CompressedLayer
        The layer.
    rows : slice
        Which of its vectors; all by default.

    Returns
    -------
    walk : Walk
        The geometry of the frame in the order that was used.
    states : ndarray, shape (M, N)
        u_n of each vector; column n is the state after the n-th visit. Of order 0 the rounding errors themselves.
    """
    walked = carrier_of(result.parameters, result.stored["levels"].bits)
    vectors = layer_vectors(result.layer, result.axis, biases=result.bias is not None)
    step = np.broadcast_to(unpack_steps(result.stored["step"]).reshape(-1, 1), (len(vectors), 1))[rows]
    levels = result.stored["levels"].values[rows].astype(float) - result.levels // 2 + 0.5
    residual = walked.frame.analyze(vectors[rows]) - levels * step
    if walked.order is not None:
        residual = residual[:, walked.order]
    if walked.taps == FIRST:
        return walked.walk, np.cumsum(residual, axis=1)
    return walked.walk, filtered(residual, walked.taps.polynomial)


def state_bound(result: CompressedLayer) -> Bound | None:
    """Bound ‖W − Q‖₂ by the states of a layer's walks, stable or not; None for a layer that no frame carries."""
    if result.states is None:
        return None
    carrier = carrier_of(result.parameters, result.stored["levels"].bits)
    walk, states = result.states()
    if carrier.taps == FIRST and carrier.dual is None:
        return layer_bound_states(walk, spectral_norm(states), float(np.linalg.norm(states[:, -1])))
    return layer_bound_shaped_states(shaping_of(carrier, result.parameters["dual"]), spectral_norm(states))


def carrier_of(parameters: Mapping[str, Any], bits: int) -> Carrier:
    """Return the walked frame that a layer's parameters name; those of older files have no signs and order 1."""
    return walk_through(
        FRAMES.from_dict(parameters["frame"]), parameters["permutation"], parameters["seed"],
        bool(parameters.get("signs", False)),
        taps=FILTERS[parameters.get("filter", "greedy")]().taps(parameters.get("order", 1), bits),
        dual=parameters.get("dual", "canonical"),
    )  # fmt: skip


def synthesis_of(parameters: Mapping[str, Any], bits: int) -> Callable[[Array], Array]:
    """Return what makes vectors of a layer's levels; the order of the walk is found again only if the dual needs it."""
    if parameters.get("dual", "canonical") != "canonical":
        return carrier_of(parameters, bits).synthesize
    frame = FRAMES.from_dict(parameters["frame"]).build(seed=parameters["seed"])
    return (signed(frame, parameters["seed"]) if parameters.get("signs", False) else frame).synthesize


def shaping_of(carrier: Carrier, dual: str) -> Shaping:
    """Return what the noise-shaping theorem uses of a walked frame and its dual."""
    return Shaping(carrier.taps.order, carrier.frame.size, carrier.error_norm, DUALS[dual].title)


def a_priori(carrier: Carrier, dual: str, steps: Array, unstable: Array, *, fitted: bool) -> tuple[Bound, ...]:
    """Return every bound on ‖W − Q‖₂ that is known before anything is measured.

    Parameters
    ----------
    carrier : Carrier
        The walked frame.
    dual : str
        Name of the dual.
    steps : ndarray, shape (M,)
        δ of each vector.
    unstable : ndarray of bool, shape (M,)
        Which of them leave the range the theorems ask for.
    fitted : bool
        Whether steps are fitted, which is then the reason.
    """
    inside: Hypothesis | Array = ~unstable
    if fitted and unstable.any():
        inside = Hypothesis(
            "range",
            "every column stays in the quantizer's range",
            f"the step is fitted, and {int(unstable.sum())} of {len(unstable)} columns leave the quantizer's range, so "
            "the a-priori bound lapses",
            False,
        )
    if carrier.taps.order > 1 or carrier.dual is not None:
        return (layer_bound_shaping(shaping_of(carrier, dual), steps, inside),)
    if carrier.taps.order == 0:
        return (layer_bound_rounding(carrier.walk, steps, inside),)
    return layer_bounds(carrier.walk, steps, inside)
