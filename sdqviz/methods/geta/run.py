"""Trains a network while pruning and quantizing it: the loop, its checkpoints, and what is shown of it."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from sdqviz.array import Index
from sdqviz.error import InputError, Stopped
from sdqviz.methods.geta.flat import WEIGHT, FlatParameters, Units
from sdqviz.methods.geta.qasso import Qasso
from sdqviz.methods.geta.recording import Recording
from sdqviz.methods.geta.stages import redundant_count
from sdqviz.methods.geta.watch import Watch
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.learned_quantizer import QUANTIZED, LearnedQuantizer, quantize_input, quantize_weight
from sdqviz.networks.network import Network, main_tensor
from sdqviz.networks.network import batches as cut_up
from sdqviz.networks.network import run as forward
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.pruning import dependency

if TYPE_CHECKING:
    from sdqviz.methods.geta import Geta
    from sdqviz.pruning.dependency import DependencyGraph

CALIBRATION = 512
"""Inputs that the ranges of activations are taken from, if none are given."""

CALIBRATION_BATCH = 256
"""Inputs that pass through the network together then."""

SAVED_EVERY = 200
"""Steps after which the checkpoint is written anew."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """What came of a run.

    Attributes
    ----------
    network : Network
        What was given.
    module : torch.nn.Module
        Of the original widths, with its quantizers; removed units are zero.
    graph : DependencyGraph
        The groups of channels.
    removed : dict of int to tuple of int
        Units that are zero, by group of the graph.
    left_alone : dict of str to str
        Layers without a quantizer, and why.
    choice : Geta
        What was run.
    seconds : float
        Time of the training.
    recording : Recording
        Every recorded step, without a report; its moments are empty if nobody listened.
    """

    network: Network
    module: nn.Module
    graph: DependencyGraph
    removed: dict[int, tuple[int, ...]]
    left_alone: dict[str, str]
    choice: Geta
    seconds: float
    recording: Recording

    def quantizer(self, layer: str, which: str = WEIGHT) -> LearnedQuantizer | None:
        """Return the quantizer of a layer's weight, or of its input; None if it has none."""
        found = getattr(self.module.get_submodule(layer), which, None)
        return found if isinstance(found, LearnedQuantizer) else None


def train(
    network: Network,
    choice: Geta,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    checkpoint: Path | None = None,
    on_moment: Callable[[Recording], None] | None = None,
    calibration: Any = None,
) -> Trained:
    """Prune and quantize a trained network while training it further on its calibration pool.

    Parameters
    ----------
    network : Network
        A trained network with data; it stays as it is.
    choice : Geta
        Sparsity, bits, rates and stages.
    seed : int
        Decides the order of the inputs, and nothing else is drawn.
    progress, should_stop : callable, optional
        Told about steps; asked before each step whether to stop.
    checkpoint : Path, optional
        File to keep the state in: every 200 steps, and when the run is stopped. A run of the same network, choice and
        seed goes on from there, to the same bits as one that was never interrupted.
    on_moment : callable, optional
        Given the growing `Recording` at about 150 steps, on the calling thread; about every tenth is tested.
    calibration : ndarray, optional
        Inputs for the ranges of the activations, shape (n, ...); 512 of the pool by default.

    Returns
    -------
    Trained
        Exactly K units are zero, and all bits are whole numbers within the range.

    Raises
    ------
    InputError
        If the network has no data, nothing to prune or shared layers; if the batch does not fit; or if the loss stops
        being finite, with the step at which it did.
    Stopped
        If asked to stop.
    """
    data = _checked_data(network, choice)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums depends on the number of threads, and a resumed run must not
    try:
        run = Run(network, choice, seed, data, calibration, should_stop)
        if checkpoint is not None:
            run.resume(checkpoint)
        run.loop(progress, should_stop, checkpoint, on_moment)
    finally:
        torch.set_num_threads(threads)
    return run.finish()


def _checked_data(network: Network, choice: Geta) -> Dataset:
    data = network.dataset
    if data is None:
        raise InputError("dataset must be given to the network to train it, got none")
    if choice.batch == 1 and any(isinstance(part, _BatchNorm) for part in network.module.modules()):
        raise InputError("batch must be at least 2 for a network with batch normalisation, got 1")
    if choice.batch > data.calibration_size:
        raise InputError(f"batch must be at most the {data.calibration_size} calibration inputs, got {choice.batch}")
    names = [name for name, part in network.module.named_modules(remove_duplicate=False) if _has_own(part)]
    distinct = {name for name, part in network.module.named_modules() if _has_own(part)}
    tied = [name for name in names if name not in distinct]
    own = {name for name, _ in network.module.named_parameters()}
    tied += [name for name, _ in network.module.named_parameters(remove_duplicate=False) if name not in own]
    if tied:
        raise InputError(f"network must not use a layer in two places, got {tied[0]}, which is shared")
    return data


def _has_own(part: nn.Module) -> bool:
    return next(part.parameters(recurse=False), None) is not None


class Batches:
    """The batches of a run by their number, whatever came before: each pass over the pool has an order of its own.

    Parameters
    ----------
    data : Dataset
        Its calibration pool is trained on.
    batch : int
        Inputs per step; what is left of a pass is dropped.
    seed : int
        Decides the orders.
    """

    def __init__(self, data: Dataset, batch: int, seed: int) -> None:
        self._data, self._batch, self._seed = data, batch, seed
        self._order: tuple[int, Index] | None = None

    def of(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of a step, counted from 0."""
        size = self._data.calibration_size
        number, place = divmod(step, size // self._batch)
        if self._order is None or self._order[0] != number:
            self._order = (number, np.random.default_rng([self._seed, number]).permutation(size))
        inputs, labels = self._data.pool(self._order[1][place * self._batch : (place + 1) * self._batch])
        return torch.from_numpy(inputs), torch.from_numpy(labels)


class Run:
    """One run between its first step and its last."""

    def __init__(
        self, network: Network, choice: Geta, seed: int, data: Dataset, calibration: Any, should_stop: ShouldStop | None
    ) -> None:
        self.network, self.choice, self.seed, self.data = network, choice, seed, data
        stop_if(should_stop)
        self.graph = dependency.graph(network)
        stop_if(should_stop)
        if calibration is None:
            calibration = data.calibration(min(CALIBRATION, data.calibration_size), seed)
        self.module = copy.deepcopy(network.module)
        self.left_alone = _quantize(self.module, network, choice, calibration)
        self.flat = FlatParameters(self.module)
        units = Units.of(self.graph, self.flat)
        self.count = redundant_count(choice.sparsity, units.counts)
        self.plan = choice.plan
        self.optimizer = Qasso(self.flat, units, self.plan, choice, self.count)
        self.batches = Batches(data, choice.batch, seed)
        self.seconds = 0.0
        self.loss = float("nan")
        self.watch = Watch(self)
        # only normalisations need training mode; everything that draws random numbers stays off
        self._normalisations = [part for part in self.module.modules() if isinstance(part, _BatchNorm)]
        self.module.eval()

    # -- training ---------------------------------------------------------------------------------------

    def loop(
        self,
        progress: Progress | None,
        should_stop: ShouldStop | None,
        checkpoint: Path | None,
        on_moment: Callable[[Recording], None] | None,
    ) -> None:
        """Take all steps that are left."""
        begun, before = time.perf_counter(), self.seconds
        total = self.plan.steps
        while self.optimizer.taken < total:
            taken = self.optimizer.taken
            if checkpoint is not None and taken % SAVED_EVERY == 0:
                self.save(checkpoint)
            try:
                if on_moment is not None and self.watch.due(taken):
                    on_moment(self.watch.look(should_stop))
                stop_if(should_stop)
            except Stopped:
                if checkpoint is not None:
                    self.save(checkpoint)
                raise
            if taken % 10 == 0:
                report(progress, taken, total, f"{self.plan.stage(taken)}: step {taken + 1} of {total}")
            self._step(checkpoint)
            self.seconds = before + time.perf_counter() - begun
        if checkpoint is not None:
            self.save(checkpoint)
        if on_moment is not None:
            on_moment(self.watch.look(should_stop))
        report(progress, total, total, f"trained {total} steps")

    def _step(self, checkpoint: Path | None) -> None:
        inputs, labels = self.batches.of(self.optimizer.taken)
        self.flat.gradients.zero_()
        for part in self._normalisations:
            part.train()
        loss = functional.cross_entropy(main_tensor(self.module(inputs)), labels)
        torch.autograd.backward(loss)
        for part in self._normalisations:
            part.eval()
        self.loss = float(loss.detach())
        if not np.isfinite(self.loss):
            kept = f"; the last good state is kept in {checkpoint.name}" if checkpoint is not None else ""
            raise InputError(
                f"loss must stay finite, got {self.loss} at step {self.optimizer.taken + 1}: lower rate or "
                f"quantizer_rate{kept}"
            )
        self.optimizer.step()

    def finish(self) -> Trained:
        """Check what was promised and hand it over.

        Raises
        ------
        RuntimeError
            If not exactly K units are zero, or bits are out of range: a defect, not something to mend outside.
        """
        zero = self.zero_units()
        if int(zero.sum()) != self.count or not torch.equal(zero, self.optimizer.zero):
            raise RuntimeError(f"{self.count} units must be zero at the end, found {int(zero.sum())}")
        for path, bits in self.bits().items():
            weight = path.endswith(WEIGHT)
            low = self.choice.bits_low if weight else self.choice.fewest_activation_bits
            high = self.choice.bits_high
            if abs(bits - round(bits)) > 1e-2 or not low <= round(bits) <= high:
                raise RuntimeError(f"bits of {path} must be whole and within {low} and {high}, found {bits}")
        return Trained(
            network=self.network,
            module=self.module.requires_grad_(False),
            graph=self.graph,
            removed=self.optimizer.units.by_group(zero),
            left_alone=self.left_alone,
            choice=self.choice,
            seconds=self.seconds,
            recording=self.watch.recording(),
        )

    def zero_units(self) -> Tensor:
        """Return which units consist of zeros throughout, a mask of shape (units,)."""
        units = self.optimizer.units
        alive = torch.zeros(len(units.group), dtype=torch.int64)
        alive.index_add_(0, units.unit, (self.flat.values[units.entries] != 0).long())
        return alive == 0

    def bits(self) -> dict[str, float]:
        """Return the bits of every quantizer by its path."""
        return {path: self.module.get_submodule(path).bits for path in self.flat.quantizers}  # type: ignore[misc]

    # -- checkpoints --------------------------------------------------------------------------------------

    def _key(self) -> str:
        """Return what a checkpoint must agree in to be gone on from."""
        parts = {"choice": self.choice.to_dict(), "seed": self.seed, "network": self.network.fingerprint}
        return json.dumps({**parts, "torch": str(torch.__version__), "pool": self.data.calibration_size})

    def save(self, checkpoint: Path) -> None:
        """Write the whole state, unless it is damaged already; a kill while writing leaves the old file."""
        state = self.optimizer.state()
        if not bool(torch.isfinite(state["values"]).all()):
            return
        state |= {
            "key": self._key(),
            "buffers": {name: buffer.clone() for name, buffer in self.module.named_buffers()},
            "seconds": self.seconds,
            "loss": self.loss,
            "moments": json.dumps(self.watch.to_list()),
        }
        partial = checkpoint.with_name(f"{checkpoint.name}.{os.getpid()}")
        try:
            torch.save(state, partial)
            partial.replace(checkpoint)
        except OSError as error:
            raise InputError(f"checkpoint must be a file that can be written, got {checkpoint}: {error}") from None

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint of the very same run; any other file is ignored."""
        if not checkpoint.is_file():
            return
        try:
            state = torch.load(checkpoint, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError):
            return  # an unreadable checkpoint costs time, nothing else
        if not isinstance(state, dict) or state.get("key") != self._key():
            return
        self.optimizer.restore(state)
        buffers = dict(self.module.named_buffers())
        for name, values in state["buffers"].items():
            buffers[name].copy_(values)
        self.seconds, self.loss = float(state["seconds"]), float(state["loss"])
        self.watch.restore(json.loads(state["moments"]))


def _quantize(module: nn.Module, network: Network, choice: Geta, calibration: Any) -> dict[str, str]:
    """Put quantizers on all layers that can have them; return why the others cannot."""
    seen = observe(network, calibration)
    left_alone: dict[str, str] = {}
    for layer in network.layers:
        part = module.get_submodule(layer.name)
        calls, largest = seen[layer.name]
        if type(part) not in QUANTIZED:
            left_alone[layer.name] = f"a {type(part).__name__} may use its weight in a way of its own"
        elif calls == 0:
            left_alone[layer.name] = "the forward pass does not call it"
        elif calls > 1:
            raise InputError(
                f"network must not use a layer in two places, got {layer.name}, which is called {calls} times"
            )
        else:
            quantize_weight(part, LearnedQuantizer.for_weight(part.weight, choice.bits_high))  # type: ignore[arg-type]
            if choice.quantize_activations:
                quantize_input(part, LearnedQuantizer.for_activations(largest, choice.bits_high))
    if len(left_alone) == len(network.layers):
        raise InputError(
            f"network must have a layer that can be quantized, got none: {next(iter(left_alone.values()))}"
        )
    return left_alone


def observe(network: Network, calibration: Any) -> dict[str, tuple[int, float]]:
    """Return, for each layer, how often a forward pass calls it and the largest absolute value that enters it.

    Parameters
    ----------
    network : Network
        What is run.
    calibration : ndarray, tensor, tuple or dict
        Its inputs.

    Raises
    ------
    InputError
        If there is no input, or the network does not take them.
    """
    module = network.shadow()
    calls = {layer.name: 0 for layer in network.layers}
    largest = {layer.name: 0.0 for layer in network.layers}

    def hook(name: str, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        calls[name] += 1
        largest[name] = max(largest[name], float(arguments[0].abs().max()))

    for name in calls:
        module.get_submodule(name).register_forward_pre_hook(functools.partial(hook, name))
    batches = 0
    for batch in cut_up(calibration, CALIBRATION_BATCH):
        batches += 1
        forward(module, batch, "float32")
    return {name: (round(calls[name] / batches), largest[name]) for name in calls}
