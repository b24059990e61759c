"""A residual network for MNIST of the form the theorems speak of, between an input and an output layer."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING

from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.training import Recipe

if TYPE_CHECKING:
    from torch import nn


@NETWORKS.register
@dataclasses.dataclass(frozen=True)
class MnistResidual(NetworkChoice):
    """784-256, ReLU, two blocks x ↦ x + V ρ(W x) of width 256, 256-10; no biases.

    Notes
    -----
    The network of Czaja & Na (arXiv 2404.08131), section 6.2; the widths are our reading.
    """

    name = "mnist-residual"
    title = "Residual, 2 blocks"
    recipe = Recipe(epochs=6, batch=128, rate=2e-3, decay=0.3)

    def layout(self) -> nn.Module:
        """Return the modules."""
        from torch import nn

        from sdqviz.networks.blocks.residual_block import ResidualBlock

        return nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                input=nn.Linear(784, 256, bias=False),
                relu=nn.ReLU(),
                block1=ResidualBlock(256),
                block2=ResidualBlock(256),
                output=nn.Linear(256, 10, bias=False),
            )
        )
