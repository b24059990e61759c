"""Trains a network while pruning and quantizing it: the loop, its checkpoints, and what is shown of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sdqviz.error import InputError, Stopped
from sdqviz.methods.geta import checkpoint as kept
from sdqviz.methods.geta.flat import WEIGHT
from sdqviz.methods.geta.recording import Recording
from sdqviz.methods.geta.run import Run
from sdqviz.methods.geta.settings import Settings
from sdqviz.methods.geta.watch import Watch
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.learned_quantizer import LearnedQuantizer
from sdqviz.networks.network import Network
from sdqviz.progress import Progress, ShouldStop, report, stop_if

if TYPE_CHECKING:
    from sdqviz.pruning.dependency import DependencyGraph

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
    choice : Settings
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
    choice: Settings
    seconds: float
    recording: Recording

    def quantizer(self, layer: str, which: str = WEIGHT) -> LearnedQuantizer | None:
        """Return the quantizer of a layer's weight, or of its input; None if it has none."""
        found = getattr(self.module.get_submodule(layer), which, None)
        return found if isinstance(found, LearnedQuantizer) else None


def train(
    network: Network,
    choice: Settings,
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
    choice : Settings
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
        watch = Watch(run)
        if checkpoint is not None:
            watch.restore(kept.resume(checkpoint, run))
        _loop(run, watch, progress, should_stop, checkpoint, on_moment)
    finally:
        torch.set_num_threads(threads)
    return _trained(run, watch)


def _loop(
    run: Run,
    watch: Watch,
    progress: Progress | None,
    should_stop: ShouldStop | None,
    checkpoint: Path | None,
    on_moment: Callable[[Recording], None] | None,
) -> None:
    """Take all steps that are left."""

    def save() -> None:
        if checkpoint is not None:
            kept.save(checkpoint, run, watch.to_list())

    begun, before = time.perf_counter(), run.seconds
    total = run.plan.steps
    where = f"; the last good state is kept in {checkpoint.name}" if checkpoint is not None else ""
    while run.optimizer.taken < total:
        taken = run.optimizer.taken
        if taken % SAVED_EVERY == 0:
            save()
        try:
            if on_moment is not None and watch.due(taken):
                on_moment(watch.look(should_stop))
            stop_if(should_stop)
        except Stopped:
            save()
            raise
        if taken % 10 == 0:
            report(progress, taken, total, f"{run.plan.stage(taken)}: step {taken + 1} of {total}")
        run.step(where)
        run.seconds = before + time.perf_counter() - begun
    save()
    if on_moment is not None:
        on_moment(watch.look(should_stop))
    report(progress, total, total, f"trained {total} steps")


def _trained(run: Run, watch: Watch) -> Trained:
    zero = run.check()
    return Trained(
        network=run.network,
        module=run.module.requires_grad_(False),
        graph=run.graph,
        removed=run.optimizer.units.by_group(zero),
        left_alone=run.left_alone,
        choice=run.choice,
        seconds=run.seconds,
        recording=watch.recording(),
    )


def _checked_data(network: Network, choice: Settings) -> Dataset:
    data = network.dataset
    if data is None:
        raise InputError("dataset must be given to the network to train it, got none")
    if choice.batch == 1 and any(isinstance(part, _BatchNorm) for part in network.module.modules()):
        raise InputError("batch must be at least 2 for a network with batch normalisation, got 1")
    if choice.batch > data.calibration_size:
        raise InputError(f"batch must be at most the {data.calibration_size} calibration inputs, got {choice.batch}")
    for name, parameter in network.module.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            raise InputError(f"network must have weights in float32 to be trained, got {name} of {parameter.dtype}")
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
