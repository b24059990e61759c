"""A network that is pruned and quantized while it trains: one step, and what holds after the last."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from sdqviz.error import InputError
from sdqviz.methods.geta.batches import Batches
from sdqviz.methods.geta.flat import WEIGHT, FlatParameters, Units
from sdqviz.methods.geta.qasso import Qasso
from sdqviz.methods.geta.quantized import quantize
from sdqviz.methods.geta.settings import Settings
from sdqviz.methods.geta.stages import redundant_counts
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.forward import main_tensor
from sdqviz.networks.network import Network
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.pruning import dependency

CALIBRATION = 512
"""Inputs that the ranges of activations are taken from, if none are given."""


class Run:
    """One run between its first step and its last: what it is made of, and how it takes a step.

    Parameters
    ----------
    network : Network
        The trained network; a copy of it is trained further.
    choice : Settings
        Sparsity, bits, rates and stages.
    seed : int
        Decides the order of the inputs.
    data : Dataset
        Its calibration pool is trained on.
    calibration : ndarray or None
        Inputs for the ranges of the activations; 512 of the pool if there is none.
    should_stop : callable or None
        Asked while the network is traced.
    """

    def __init__(
        self,
        network: Network,
        choice: Settings,
        seed: int,
        data: Dataset,
        calibration: Any = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        self.network, self.choice, self.seed, self.data = network, choice, seed, data
        stop_if(should_stop)
        self.graph = dependency.groups(network)
        stop_if(should_stop)
        if calibration is None:
            calibration = data.calibration(min(CALIBRATION, data.calibration_size), seed)
        self.module = copy.deepcopy(network.module)
        self.left_alone = quantize(self.module, network, choice, calibration)
        self.flat = FlatParameters(self.module)
        units = Units.of(self.graph, self.flat)
        self.count, most = redundant_counts(choice.sparsity, units.counts, choice.scope)
        self.plan = choice.plan
        self.optimizer = Qasso(self.flat, units, self.plan, choice, self.count, most)
        self.batches = Batches(data, choice.batch, seed)
        self.seconds = 0.0
        self.loss = float("nan")
        # only normalisations need training mode; everything that draws random numbers stays off
        self._normalisations = [part for part in self.module.modules() if isinstance(part, _BatchNorm)]
        self.module.eval()

    def step(self, kept: str = "") -> None:
        """Take the next step.

        Parameters
        ----------
        kept : str
            What to add to the message about a loss that is not finite: where the last good state is.

        Raises
        ------
        InputError
            If the loss stops being finite.
        """
        inputs, labels = self.batches.of(self.optimizer.taken)
        self.flat.gradients.zero_()
        for part in self._normalisations:
            part.train()
        loss = functional.cross_entropy(main_tensor(self.module(inputs)), labels)
        if not loss.requires_grad:
            raise InputError("network must let gradients through its forward to be trained, got a loss without any")
        torch.autograd.backward(loss)
        for part in self._normalisations:
            part.eval()
        self.loss = float(loss.detach())
        if not np.isfinite(self.loss):
            raise InputError(
                f"loss must stay finite, got {self.loss} at step {self.optimizer.taken + 1}: lower rate or "
                f"quantizer_rate{kept}"
            )
        self.optimizer.step()

    def check(self) -> Tensor:
        """Check what was promised of a finished run; return which units are zero, a mask of shape (units,).

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
        return zero

    def zero_units(self) -> Tensor:
        """Return which units consist of zeros throughout, a mask of shape (units,)."""
        units = self.optimizer.units
        alive = torch.zeros(len(units.group), dtype=torch.int64)
        alive.index_add_(0, units.unit, (self.flat.values[units.entries] != 0).long())
        return alive == 0

    def bits(self) -> dict[str, float]:
        """Return the bits of every quantizer by its path."""
        return {path: self.module.get_submodule(path).bits for path in self.flat.quantizers}  # type: ignore[misc]
