"""A feed-forward network for MNIST of the form the theorems speak of: dense layers, ReLU, no biases."""

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
class MnistFnn(NetworkChoice):
    """784-256-256-10 with ReLU and without biases.

    Notes
    -----
    The network of Czaja & Na (arXiv 2404.08131), section 6.1; the widths are not printed there, 256
    is our reading of its storage example.
    """

    name = "mnist-fnn"
    title = "Feed-forward, 3 dense layers"
    recipe = Recipe(epochs=6, batch=128, rate=2e-3, decay=0.3)

    def layout(self) -> nn.Module:
        """Return the modules."""
        from torch import nn

        return nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                hidden1=nn.Linear(784, 256, bias=False),
                relu1=nn.ReLU(),
                hidden2=nn.Linear(256, 256, bias=False),
                relu2=nn.ReLU(),
                output=nn.Linear(256, 10, bias=False),
            )
        )
