"""A small convolutional network for MNIST with biases and batch normalisation, outside the theorems' class."""

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
class MnistLenet(NetworkChoice):
    """Convolutions to 6 and 16 channels, 5 × 5, each with batch normalisation, ReLU and pooling; then 400-120-10.

    Notes
    -----
    After LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86 (1998), with one dense layer fewer, ReLU and
    batch normalisation. Every convolution and dense layer has a bias.
    """

    name = "mnist-lenet"
    title = "LeNet, 2 convolutions"
    recipe = Recipe(epochs=4, batch=128, rate=2e-3, decay=0.3)

    def layout(self) -> nn.Module:
        """Return the modules."""
        from torch import nn

        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 6, 5, padding=2),
                norm1=nn.BatchNorm2d(6),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(6, 16, 5),
                norm2=nn.BatchNorm2d(16),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                hidden=nn.Linear(400, 120),
                relu3=nn.ReLU(),
                output=nn.Linear(120, 10),
            )
        )
