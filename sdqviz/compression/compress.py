"""Compress a network with a method and measure what that did."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.statement import Bound, tightest
from sdqviz.compression.guarantee import SMALL, error_name, handed, layer_bound, layer_error, output_bounds
from sdqviz.compression.inputs import calibration_inputs, checked_seed
from sdqviz.compression.measurement import LayerMeasurement, Measurement, measure
from sdqviz.compression.packed_file import load
from sdqviz.compression.packing import kept_tensors, state_bytes, to_bytes
from sdqviz.compression.reduction import reduced
from sdqviz.error import InputError
from sdqviz.kernels import threads
from sdqviz.kernels.heap import use_memory_again
from sdqviz.methods.method import CompressedLayer, LeftAlone, MethodChoice, NewTensors, Reduction, Spread, Task
from sdqviz.networks import cost
from sdqviz.networks.network import NO_CLASS, Network
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.report import LayerReport, Report
from sdqviz.version import __version__

__all__ = ["Compression", "compress", "load"]


@dataclasses.dataclass(frozen=True, eq=False)
class Compression:
    """A compressed network, what it was made from, and the report.

    Attributes
    ----------
    network, original : Network
        The compressed and the given network.
    report : Report
        What was measured.
    layers : tuple of CompressedLayer
        What is stored, layer by layer.
    method : MethodChoice
        The choice that was run.
    inputs : ndarray, tensor, tuple or dict
        The inputs on which errors were measured, or a list of batches of them; None if measuring was skipped.
    reduction : Reduction or None
        What was cut out of the network, and the quantizers of its activations; None where nothing was.
    output_bounds : tuple of Bound
        Every bound on the largest output error that was stated, the tightest of which the report has; empty where no
        errors were measured.
    """

    network: Network
    original: Network
    report: Report
    layers: tuple[CompressedLayer, ...]
    method: MethodChoice
    inputs: Any
    reduction: Reduction | None = None
    output_bounds: tuple[Bound, ...] = ()

    def save(self, path: str | Path) -> None:
        """Write the packed network: bit-packed levels, scales, kept tensors and the recipe; no code.

        Parameters
        ----------
        path : str or Path
            File to write, by convention ``*.sdq``; it is a safetensors file.
        """
        Path(path).write_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return what `save` writes."""
        return to_bytes(self.original, self.network, self.layers, self.method, self.report.seed, self.reduction)


def compress(
    network: Network,
    method: MethodChoice,
    calibration: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    spread: Spread | None = None,
) -> Compression:
    """Compress every dense and convolutional layer of a network and measure what that did.

    Parameters
    ----------
    network : Network
        What to compress; it is never changed.
    method : MethodChoice
        How, for example ``METHODS["frame"](size=1000, bits=1)``.
    calibration : int, ndarray, tensor, tuple, dict, iterable of batches, or None
        Inputs on which errors are measured (and, for methods that need data, collected): how many to draw from the
        network's own data set (0: measure no errors), or the inputs themselves, shape (n, ...), at once or in batches
        (a torch DataLoader will do; labels are ignored). None draws 512, or takes the example input of a network
        without data.
    seed : int
        The only source of randomness.
    progress : callable, optional
        ``progress(done, total, message)``.
    should_stop : callable, optional
        Polled between small pieces of work; returning True raises `Stopped` and changes nothing.
    spread : Spread, optional
        What walks blocks of neurons elsewhere, such as `sdqviz.experiments.cluster.Cluster`; levels stay the same.

    Returns
    -------
    Compression
        The new network and the report.

    Raises
    ------
    InputError
        If the choice does not fit the network; the message names the layer.
    Stopped
        If ``should_stop`` asked for it.
    """
    seed = checked_seed(seed)
    if spread is not None and not method.spreads:
        raise InputError(f"method must walk over a layer's inputs to be spread, got {method.name}")
    inputs = calibration_inputs(network, calibration, seed)
    if network.dataset is not None:
        network.accuracy(should_stop=should_stop)  # what cannot be tested is refused before the work, not after it
    use_memory_again()
    task = Task(network.layers, seed, _scaled(progress, 0.7), should_stop, network, inputs, spread=spread)
    return assemble(network, method, method.compress_layers(task), inputs, seed, progress, should_stop)


def assemble(
    network: Network,
    method: MethodChoice,
    items: Iterable[CompressedLayer | LeftAlone | NewTensors | Reduction],
    inputs: Any,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Compression:
    """Put what a method hands over together to a network, and measure what that did; `compress` ends with this.

    Parameters
    ----------
    network : Network
        The original.
    method : MethodChoice
        What was run.
    items : iterable
        What its ``compress_layers`` gives.
    inputs : ndarray, tensor, tuple, dict or None
        Inputs to measure errors on.
    seed, progress, should_stop
        As for `compress`.

    Returns
    -------
    Compression
        Where channels were cut out, errors were measured layer by layer on the network of the original widths in which
        they are zero; the network in the result is the smaller one, which gives the same outputs.
    """
    done: list[CompressedLayer] = []
    reasons = dict(network.left_alone)
    tensors: dict[str, Array] = {}
    reduction: Reduction | None = None
    for item in items:
        stop_if(should_stop)
        if isinstance(item, LeftAlone):
            reasons[item.name] = item.because
        elif isinstance(item, NewTensors):
            tensors |= {f"{item.name}.{key}" if item.name else key: values for key, values in item.tensors.items()}
            reasons.setdefault(item.name, "kept in float, with new values")
        elif isinstance(item, Reduction):
            reduction = item
        else:
            done.append(item)
    layers = tuple(done)
    weights = {item.layer.name: item.weight for item in layers}
    biases = {item.layer.name: item.bias for item in layers if item.bias is not None}
    masked = network.replaced(weights, biases, tensors)
    compressed = masked
    if reduction is not None:
        compressed = reduced(masked, reduction.cut, reduction.input_quantizers)
        masked = reduced(masked, None, reduction.input_quantizers)
    report(progress, 0.7, 1.0, "measuring errors")
    measurement = None if inputs is None else measure(network, masked, network.layers, inputs, should_stop)
    stop_if(should_stop)
    report(progress, 0.85, 1.0, "testing")
    as_handed = handed(layers, masked)
    promised = () if measurement is None else output_bounds(network, as_handed, measurement)
    result = Compression(
        network=compressed,
        original=network,
        report=_report(network, compressed, method, seed, layers, as_handed, measurement, promised, reasons),
        layers=layers,
        method=method,
        inputs=inputs,
        reduction=reduction,
        output_bounds=promised,
    )
    report(progress, 1.0, 1.0, "done")
    return result


def _left_alone(network: Network, layers: tuple[CompressedLayer, ...], reasons: Mapping[str, str]) -> tuple[str, ...]:
    """Name the modules whose own parameters were not compressed, with the reason."""
    compressed = {item.layer.name for item in layers}
    return tuple(
        f"{name or 'the module itself'} ({type(part).__name__}): {reasons.get(name, 'not a layer that is compressed')}"
        for name, part in network.module.named_modules()
        if name not in compressed and next(part.parameters(recurse=False), None) is not None
    )


def _scaled(progress: Progress | None, share: float) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, message: progress(share * done / max(total, 1), 1.0, message)


def _report(
    original: Network,
    compressed: Network,
    method: MethodChoice,
    seed: int,
    layers: tuple[CompressedLayer, ...],
    as_handed: tuple[CompressedLayer, ...],
    measurement: Measurement | None,
    promised: Sequence[Bound],
    reasons: Mapping[str, str],
) -> Report:
    rows = _layer_reports(as_handed, measurement)
    kept = kept_tensors(original, layers)
    left_bytes = sum(value.nbytes for value in kept_tensors(compressed, layers).values())
    stored_bits = sum(item.bits for item in layers) + 8 * left_bytes
    numbers = sum(item.weight_count for item in layers) + sum(value.size for value in kept.values())
    weights = sum(item.weight.size for item in layers)
    nothing = np.array([np.nan])
    errors: Array = nothing if measurement is None else measurement.output_errors
    norms: Array = nothing if measurement is None else measurement.output_norms
    promise = tightest(promised) if promised else None
    has_data = original.dataset is not None
    spent = cost.compare(original, compressed, {item.layer.name: item.weight_bits for item in layers})
    return Report(
        network=original.name,
        seed=seed,
        method=method.to_dict(),
        layers=rows,
        left_alone=_left_alone(original, layers, reasons),
        accuracy_before=original.accuracy() if has_data else None,
        accuracy_after=compressed.accuracy() if has_data else None,
        changed_predictions=int((original.predictions() != compressed.predictions()).sum()) if has_data else None,
        output_error=float(errors.max()),
        mean_output_error=float(errors.mean()),
        relative_output_error=_ratio(float(np.linalg.norm(errors)), float(np.linalg.norm(norms))),
        output_bound=float("nan") if promise is None else promise.value,
        output_bound_holds=promise is not None and promise.holds,
        output_bound_because="no errors were measured" if promise is None else promise.because,
        inputs=0 if measurement is None else len(errors),
        bits_per_weight=stored_bits / numbers,
        sparsity=_ratio(sum(int((item.weight == 0).sum()) for item in layers), weights),
        bytes=-(-stored_bits // 8),
        original_bytes=state_bytes(original.module),
        seconds=sum(item.seconds for item in layers),
        version=__version__,
        note=_note(original, compressed, layers, measurement),
        **dataclasses.asdict(spent),
    )


def _note(
    original: Network, compressed: Network, layers: tuple[CompressedLayer, ...], measurement: Measurement | None
) -> str:
    said = [original.note, *(item.note for item in layers)]
    if original.passes.random or original.passes.random_outside:
        said.append("its forward draws random numbers: both networks drew the same ones, and other draws vary")
    if original.passes.keeps:
        said.append("its forward changes what it keeps for the next: every pass began as the first")
    if measurement is not None:
        if measurement.unused:
            said.append(f"no error is measured where the forward pass takes no part: {', '.join(measurement.unused)}")
        if measurement.unmatched:
            names = ", ".join(measurement.unmatched)
            said.append(f"no propagated error is stated where the two networks choose rows of their own: {names}")
        if measurement.precision == "float32":
            said.append("errors are measured in the module's own precision, on which its forward insists")
        if measurement.not_finite:
            count = len(measurement.output_errors)
            said.append(f"{measurement.not_finite} of {count} outputs are NaN or infinite, or cannot be compared")
    if original.dataset is not None:
        for what, network in (("original", original), ("compressed", compressed)):
            missing = int((network.predictions() == NO_CLASS).sum())
            if missing:
                said.append(f"the {what} network's test outputs are NaN or infinite for {missing} inputs")
    return "; ".join(part for part in said if part)


def _layer_reports(items: Sequence[CompressedLayer], measurement: Measurement | None) -> tuple[LayerReport, ...]:
    """Report every layer: small ones on a thread each; the norm of a large one takes all threads by itself."""
    told = functools.partial(_layer_report, measurement=measurement)
    small = [math.prod(item.layer.shape) <= SMALL**2 for item in items]  # so the shorter side is no longer than that
    beside = iter(list(threads.spread(told, (item for item, fits in zip(items, small, strict=True) if fits))))
    return tuple(next(beside) if fits else told(item) for item, fits in zip(items, small, strict=True))


def _layer_report(item: CompressedLayer, measurement: Measurement | None) -> LayerReport:
    layer = item.layer
    promise = layer_bound(item)
    nothing = LayerMeasurement(float("nan"), float("nan"), 0)
    errors = nothing if measurement is None else measurement.layers[layer.name]
    with threads.one_blas_thread():  # those of BLAS would go on waiting, in the way of the pass of the test images
        missed, whole = (float(np.linalg.norm(part)) for part in (layer.weight - item.weight, layer.weight))
    return LayerReport(
        name=layer.name,
        kind=layer.kind,
        shape=tuple(layer.weight.shape),
        weights=item.weight_count,
        error=layer_error(item),
        relative_error=errors.same_input,
        propagated_error=errors.propagated,
        weight_error=_ratio(missed, whole),
        bound=float("nan") if promise is None else promise.value,
        bound_holds=promise is not None and promise.holds,
        bound_because="this method has no bound on a layer's weights" if promise is None else promise.because,
        bound_name="" if promise is None else promise.title,
        bits_per_weight=item.bits / item.weight_count,
        sparsity=float((item.weight == 0).mean()),
        step=float(np.max(item.step)),
        levels=item.levels,
        size=item.size,
        overload=item.overload,
        unstable=item.unstable,
        dead_inputs=errors.dead_inputs,
        bits=item.bits,
        seconds=item.seconds,
        error_name=error_name(item),
    )


def _ratio(part: float, whole: float) -> float:
    """Return part/whole; NaN if there is nothing to be relative to."""
    return part / whole if whole > 0 else float("nan")
