"""The way of calibration data from layer to layer, for every method that compresses each with what has reached it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sdqviz.error import InputError
from sdqviz.methods.method import CompressedLayer, LeftAlone, NewTensors, Task
from sdqviz.networks.layer import Layer
from sdqviz.progress import report, stop_if

if TYPE_CHECKING:
    from sdqviz.methods.calibrated.calibration import Calibration


def layer_by_layer(
    name: str,
    task: Task,
    device: str,
    batch_norm: str,
    compressed: Callable[[Calibration, Layer], CompressedLayer | LeftAlone],
    stays: str = "",
) -> Iterator[CompressedLayer | LeftAlone | NewTensors]:
    """Compress the layers in the order in which the data meet them.

    Parameters
    ----------
    name : str
        The method, for messages.
    task : Task
        The run.
    device : {"auto", "cpu", "cuda"}
        Where forward passes and sums are computed.
    batch_norm : {"kept", "estimated"}
        Whether statistics of batch normalisations are estimated anew.
    compressed : callable
        Compresses one layer, given the data that have come up to it.
    stays : str
        Why the walk stays on the processor, where it does: told with every layer if the data are elsewhere.

    Raises
    ------
    InputError
        If there are no calibration data.
    """
    from sdqviz.methods.calibrated.calibration import Calibration

    if task.network is None or task.inputs is None:
        raise InputError(f"calibration must hold at least one sample for the method {name}, got none")
    layers = {layer.name: layer for layer in task.layers}
    total, done = sum(math.prod(layer.shape) for layer in task.layers), 0
    stop_if(task.should_stop)
    with Calibration(task.network, task.inputs, device, should_stop=task.should_stop) as calibration:
        for stop in calibration.stops:
            if stop not in layers:
                if batch_norm == "estimated":
                    buffers = calibration.renew_statistics(stop)
                    if buffers:
                        yield NewTensors(stop, buffers)
                continue
            layer = layers.pop(stop)
            report(task.progress, done, total, stop)
            if stop in task.finished:
                calibration.replace(stop, *task.finished[stop]())
                done += math.prod(layer.shape)
                continue
            reason = calibration.too_large(layer)
            item = LeftAlone(stop, reason) if reason is not None else compressed(calibration, layer)
            if isinstance(item, CompressedLayer):
                item = told_where(item, calibration.device.type, stays)
                calibration.replace(stop, item.weight, item.bias)
            yield item
            del item  # its weights, before those of the next are there
            done += math.prod(layer.shape)
    for left in layers:
        yield LeftAlone(left, "the data do not pass through it as a module of its own")


def told_where(item: CompressedLayer, device: str, stays: str) -> CompressedLayer:
    """Return a layer with a note on why it was walked on the processor, if it was asked for elsewhere.

    Parameters
    ----------
    item : CompressedLayer
        The layer.
    device : str
        The kind of device that its data were on.
    stays : str
        Why its walk does not go there; empty if it does.
    """
    if not stays or device == "cpu":
        return item
    note = f"layer {item.layer.name} was summed up on {device} and walked on the processor: {stays}"
    return dataclasses.replace(item, note="; ".join(part for part in (item.note, note) if part))
