"""A plain convolutional network of the VGG kind, narrow enough for a CPU, outside the theorems' class."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING

from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import ImageNetworkChoice
from sdqviz.networks.training import Recipe

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (16, 16, 32, 32, 64, 64)
"""Channels of the convolutions; an image is halved after every second one."""

HIDDEN = 128
"""Width of the dense layer before the last."""


@NETWORKS.register
@dataclasses.dataclass(frozen=True)
class Vgg7(ImageNetworkChoice):
    """Six 3 × 3 convolutions, to 16, 16, 32, 32, 64 and 64 channels, then dense layers to 128 and 10.

    Every convolution is followed by batch normalisation and ReLU, every second one by pooling that halves the image.

    Notes
    -----
    Li, Zhang & Liu, *Ternary weight networks* (arXiv 1605.04711), name such a network VGG-7, with convolutions to
    128, 256 and 512 channels and 1024 hidden units: eight times as wide.
    """

    name = "vgg7"
    title = "VGG-7, 6 convolutions"
    recipe = Recipe(epochs=2, batch=128, rate=4e-3, decay=0.1)
    shipped_seeds = (0,)
    training_seconds = 90.0
    testing_seconds = 7.0

    def layout(self) -> nn.Module:
        """Return the modules."""
        from torch import nn

        parts: OrderedDict[str, nn.Module] = OrderedDict()
        before, size = self.channels, self.size
        for place, after in enumerate(WIDTHS, start=1):
            parts[f"conv{place}"] = nn.Conv2d(before, after, 3, padding=1, bias=False)
            parts[f"norm{place}"] = nn.BatchNorm2d(after)
            parts[f"relu{place}"] = nn.ReLU()
            before = after
            if place % 2 == 0:
                parts[f"pool{place // 2}"] = nn.MaxPool2d(2)
                size //= 2
        return nn.Sequential(
            parts
            | OrderedDict(
                flatten=nn.Flatten(),
                hidden=nn.Linear(before * size**2, HIDDEN),
                relu7=nn.ReLU(),
                output=nn.Linear(HIDDEN, 10),
            )
        )
