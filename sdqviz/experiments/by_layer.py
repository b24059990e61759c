"""What compressing a network layer after layer to disk will take, told before the work: sizes, and time by rates."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdqviz.compression.tensor_by_tensor import WHOLE_BYTES
from sdqviz.error import InputError
from sdqviz.experiments.cost_model import Cost, layer_costs, layer_memory
from sdqviz.experiments.machine_rates import measured_machine, small_layer
from sdqviz.methods.calibrated.calibration import STORE_BYTES, Calibration
from sdqviz.methods.calibrated.group_work import neurons_together
from sdqviz.methods.calibrated.layer_work import RIDERS
from sdqviz.methods.method import MethodChoice, Task
from sdqviz.networks.batch import common_length, parts, with_first
from sdqviz.networks.layer import Layer
from sdqviz.networks.recorder import Recorder
from sdqviz.networks.unfolding import position_count

if TYPE_CHECKING:
    from sdqviz.networks.network import Network

WIDTHS = (128, 512)
"""Inputs of the layers on which rates are measured: half of the network's widest, within these."""


@dataclasses.dataclass(frozen=True)
class LayersEstimate:
    """What compressing layer after layer will take.

    Attributes
    ----------
    layers, finished : int
        How many there are, and how many an earlier run has done.
    read, written : int
        Bytes of all parameters, and about as many of the packed file.
    memory : int
        Bytes the work takes at most, beside the process itself and the network where that is in memory.
    largest : str
        The layer that takes them.
    seconds : float
        About how long on this machine as it is now; NaN where the method cannot be tried on layers of other sizes.
    too_large : mapping of str to str
        Layers that cannot be compressed within the memory there is, with the reason.
    """

    layers: int
    finished: int
    read: int
    written: int
    memory: int
    largest: str
    seconds: float
    too_large: Mapping[str, str]

    def __str__(self) -> str:
        """Say it in one line, and in one more for each layer that is too large."""
        read, written, memory = (f"{size / 2**20:,.1f} MiB" for size in (self.read, self.written, self.memory))
        done = f", {self.finished} of them done before" if self.finished else ""
        taken = "time not known" if math.isnan(self.seconds) else f"about {self.seconds:,.0f} s"
        first = (
            f"{self.layers} layers{done}, {read} to read, about {written} to write, about {memory} of memory beside "
            f"the process (for {self.largest}), {taken}"
        )
        return "\n".join([first, *(f"{name} will be left alone: {why}" for name, why in self.too_large.items())])

    def require_room(self, folder: Path) -> None:
        """Refuse a disk that is too small.

        Raises
        ------
        InputError
            If less is free than will be written.
        """
        free = shutil.disk_usage(folder).free
        if 2 * self.written > free:  # finished layers wait beside the file while it is put together
            raise InputError(
                f"output must have about {2 * self.written / 2**20:,.0f} MiB of room, got {free / 2**20:,.0f} MiB free"
            )


def estimate(task: Task, method: MethodChoice) -> LayersEstimate:
    """Return what a method will take for a network, from rates measured now, on small layers; takes a second or two.

    Parameters
    ----------
    task : Task
        As `sdqviz.compression.block_by_block.compress_to_file` announces it.
    method : MethodChoice
        What compresses.
    """
    network = task.network
    if network is None:
        raise InputError("network must be given to say what it takes, got none")
    own = method.for_layer("")
    layers = {layer.name: layer for layer in task.layers}
    costs: dict[str, Cost] = {}
    too_large: dict[str, str] = {}
    bits = _bits(own)
    if _looks_at_data(own) and task.inputs is not None:
        met, rows, blocks, shared, too_large = _met(network, task.inputs, layers)
        rows = [count * getattr(method, "patches", 1.0) for count in rows]
        shapes = [(layers[name].shape[0], math.prod(layers[name].shape[1:])) for name in met]
        costs = dict(zip(met, layer_costs(shapes, rows, bits, blocks=blocks, shared=shared), strict=True))
        for name, (outputs, inputs) in zip(met, shapes, strict=True):
            together = max(RIDERS, neurons_together(inputs))
            memory = layer_memory(outputs, inputs, method.numbers_held, together)
            costs[name] = dataclasses.replace(costs[name], memory=memory)
        waiting = 2 * STORE_BYTES
    else:
        for name, layer in layers.items():
            size = math.prod(layer.shape)
            costs[name] = Cost(weights=size, read=4.0 * size, written=bits / 8 * size, memory=WHOLE_BYTES * size)
        waiting = 0
    left = {name: cost for name, cost in costs.items() if name not in task.finished and name not in too_large}
    total = sum(left.values(), Cost())
    passed = sum(cost.forward for name, cost in costs.items() if name not in left)  # the data pass what is done
    largest = max(left, key=lambda name: left[name].memory, default="no layer")
    everything = sum(4.0 * one.numel() for one in network.module.parameters())
    kept = everything - sum(cost.read for name, cost in costs.items() if name not in too_large)
    return LayersEstimate(
        layers=len(costs),
        finished=sum(name in costs for name in task.finished),
        read=int(everything),
        written=int(kept + sum(cost.written for name, cost in costs.items() if name not in too_large)),
        memory=int(total.memory) + waiting,
        largest=largest,
        seconds=_seconds(own, dataclasses.replace(total, forward=total.forward + passed), layers.values()),
        too_large=too_large,
    )


def _met(
    network: Network, inputs: Any, layers: Mapping[str, Layer]
) -> tuple[list[str], list[float], list[int], list[bool], dict[str, str]]:
    """Pass one input through, and return which layers the data meet, in order, with how many rows, and in which block.

    And which of them have the inputs of the one before, and which are too large, with the reason.
    """
    import torch

    recorder = Recorder(network.module, layers, outputs=False)
    few, recording = with_first(
        inputs, 2, lambda some: recorder.run(functools.partial(network.passes.raw, inputs=some))
    )
    given = inputs if isinstance(inputs, list) else [inputs]
    share = sum(common_length(parts(one)) or 1 for one in given) / (common_length(parts(few)) or 1)
    met, rows = list(recording.calls), []
    for name in met:
        entered = recording.calls[name][0].entered
        positions = position_count(network.module.get_submodule(name), entered)
        convolved = layers[name].kind != "Linear"
        rows.append(share * (len(entered) * positions if convolved else entered.numel() / layers[name].shape[1]))
    entering = [recording.calls[name][0].entered for name in met]
    shared = [False, *(torch.equal(first, second) for first, second in itertools.pairwise(entering))][: len(met)]
    with Calibration(network, few) as calibration:
        reasons = {name: calibration.too_large(layers[name]) for name in met}
        too_large = {name: why for name, why in reasons.items() if why is not None}
        return met, rows, calibration.run_again(met), shared, too_large


def _looks_at_data(method: MethodChoice) -> bool:
    """Whether a method refuses to work without data."""
    try:
        small_layer(method, 16, calibrated=False)
    except InputError:
        return True
    return False


def _bits(method: MethodChoice) -> float:
    """Return the bits of a weight, steps and all, as a small layer has them."""
    try:
        return small_layer(method, WIDTHS[0])[1]
    except InputError:  # for example a frame with fewer vectors than that has inputs
        return float(getattr(method, "bits", 32))


def _seconds(method: MethodChoice, cost: Cost, layers: Iterable[Layer]) -> float:
    """Return how long that takes at the rates of the moment."""
    widest = max((math.prod(layer.shape[1:]) for layer in layers), default=WIDTHS[0])
    width = min(max(widest // 2, WIDTHS[0]), WIDTHS[1])
    try:
        if cost.walks:
            return cost.seconds(measured_machine(width, time.perf_counter, method))
        taken, _ = small_layer(method, width, calibrated=False)
        return cost.weights * taken / width**2
    except InputError:
        return math.nan
