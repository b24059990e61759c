"""What a compression did: figures per layer and for the whole network, as flat, JSON-able rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from sdqviz.strict_json import WORDS, number


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """One compressed layer. Errors are measured in float64 on the calibration inputs.

    Attributes
    ----------
    name, kind : str
        Path of the layer in the module, and its torch class.
    shape : tuple of int
        Shape of the weight tensor.
    weights : int
        Original numbers this row accounts for: the weights, and the biases where they are compressed too.
    error : float
        The quantity ``bound`` bounds, which ``error_name`` names. After path following (GPFQ, SPFQ, the unified
        framework, GPTQ, Qronos): the largest ‖Xw − X̃q‖₂ of the layer's neurons, X and X̃ being the layer's inputs in
        the original and in the compressed network. Otherwise ‖W−Q‖₂ of the layer's matrix (‖[W b]−[Q c]‖₂ with
        quantized biases).
    relative_error : float
        Same-input error ‖(W−Q)z‖_F/‖Wz‖_F; z are the layer's inputs in the original network.
    propagated_error : float
        ‖Wz − Qz̃‖_F/‖Wz‖_F; z̃ are the layer's inputs in the compressed network.
    weight_error : float
        ‖W−Q‖_F/‖W‖_F.
    bound : float
        Smallest bound on ``error`` whose hypotheses hold; if none holds, the smallest one (then ``bound_holds`` is
        False). After path following with a random operator: the Euclidean Hoeffding form for all neurons together,
        which may fail with probability 0.05 over the random numbers. NaN if the method has no bound.
    bound_holds : bool
        Whether every hypothesis of the bound was checked and met; of a bound with a probability, whether it is stated
        with that probability.
    bound_because, bound_name : str
        Why it holds or not, and which bound it is; both give the probability where there is one.
    bits_per_weight : float
        Everything stored for the layer (levels, scales, frame parameters, seed), per original weight.
    sparsity : float
        Share of weights that are exactly zero.
    step : float
        δ; the largest one where there are several.
    levels : int
        Size of the alphabet.
    size : int
        Levels stored per quantized vector: N for frames, the vector's length otherwise.
    overload : int
        Values that fell outside the quantizer's range.
    unstable : int
        Vectors whose coefficients break the stability condition.
    dead_inputs : int
        Inputs of the layer that are zero on every calibration sample.
    bits : int
        Everything stored for the layer, in bits.
    seconds : float
        Time spent on the layer.
    error_name : str
        What ``error`` and ``bound`` measure, as people read it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    error: float
    relative_error: float
    propagated_error: float
    weight_error: float
    bound: float
    bound_holds: bool
    bound_because: str
    bound_name: str
    bits_per_weight: float
    sparsity: float
    step: float
    levels: int
    size: int
    overload: int
    unstable: int
    dead_inputs: int
    bits: int
    seconds: float
    error_name: str = "‖W−Q‖₂"


@dataclasses.dataclass(frozen=True)
class Report:
    """One compressed network.

    Attributes
    ----------
    network, seed : str, int
        Name of the network and seed of the run.
    method : dict
        The choice that was run.
    layers : tuple of LayerReport
        One row per compressed layer, in the order of the network.
    left_alone : tuple of str
        Modules with parameters that were kept as they are, and why.
    accuracy_before, accuracy_after : float or None
        Test accuracy, 0 … 1; None without a data set.
    changed_predictions : int or None
        Test inputs whose predicted class changed.
    output_error : float
        max_x ‖f(x) − f_Q(x)‖ over the calibration inputs.
    mean_output_error, relative_output_error : float
        mean_x ‖f(x) − f_Q(x)‖, and ‖f − f_Q‖_F/‖f‖_F, over the same inputs.
    output_bound : float
        The bound on ``output_error`` for those inputs: a priori from the layers' own, or after path following the
        joint one of all walks, which may fail with probability 0.05; NaN where no theorem applies.
    output_bound_holds : bool
        Whether all hypotheses of that bound were met.
    output_bound_because : str
        Why it holds, or why not, or "not applicable: …".
    inputs : int
        How many calibration inputs the errors were measured on.
    bits_per_weight : float
        Everything stored, tensors kept in float included, per original parameter.
    sparsity : float
        Share of exactly zero weights in the compressed layers.
    bytes : int
        Size of the packed tensors; a saved file adds only its header.
    original_bytes : int
        Size of the same network's tensors as they were.
    seconds : float
        Time of the compression, measurement excluded.
    version : str
        Version of the engine.
    note : str
        What a reader must know before the figures, for example that the weights are random; empty if nothing.
    macs, original_macs : float
        Multiply-accumulates of one input, after and before; zeros that are not cut out are multiplied too. NaN, like
        the two that follow, in results stored by versions that did not count them.
    bops : float
        Bit operations of one input: MACs · b_w · b_a summed over the layers. b_w is the bits of a layer's whole
        numbers where its weights are such numbers times a scale, b_a those of a quantizer before the layer, and 32
        elsewhere.
    relative_bops : float
        ``bops`` over those of the original network in 32 × 32 bits.
    parameters, original_parameters : int
        Parameters of the modules, after and before.
    """

    network: str
    seed: int
    method: Mapping[str, Any]
    layers: tuple[LayerReport, ...]
    left_alone: tuple[str, ...]
    accuracy_before: float | None
    accuracy_after: float | None
    changed_predictions: int | None
    output_error: float
    mean_output_error: float
    relative_output_error: float
    output_bound: float
    output_bound_holds: bool
    output_bound_because: str
    inputs: int
    bits_per_weight: float
    sparsity: float
    bytes: int
    original_bytes: int
    seconds: float
    version: str
    note: str = ""
    macs: float = math.nan
    original_macs: float = math.nan
    bops: float = math.nan
    relative_bops: float = math.nan
    parameters: int = 0
    original_parameters: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types; `from_dict` inverts it."""
        values = dataclasses.asdict(self)
        values["method"] = dict(self.method)
        values["left_alone"] = list(self.left_alone)
        values["layers"] = [{**row, "shape": list(row["shape"])} for row in values["layers"]]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Rebuild a report from `to_dict`, or from what a file has of it: words may stand for NaN and infinities.

        Raises
        ------
        KeyError, TypeError
            If something is missing, unknown, or of another type.
        """
        rest = _checked(cls, values)
        rows = [_checked(LayerReport, row) for row in rest["layers"]]
        rest["layers"] = tuple(LayerReport(**{**row, "shape": tuple(row["shape"])}) for row in rows)
        rest["left_alone"] = tuple(rest["left_alone"])
        return cls(**rest)


_KINDS: dict[str, tuple[type[Any], ...]] = {"float": (float, int), "int": (int,), "str": (str,), "bool": (bool,)}


def _checked(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Read the words that stand for numbers in fields that are numbers, and refuse what is of another type."""
    found = dict(values)
    for item in dataclasses.fields(cls):
        kind, _, optional = str(item.type).partition(" | ")
        if item.name not in found or kind not in _KINDS or (optional and found[item.name] is None):
            continue
        value = found[item.name]
        if kind == "float" and value in WORDS:
            found[item.name] = number(value)
        elif not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise TypeError(f"{item.name} {value!r}")
    return found
