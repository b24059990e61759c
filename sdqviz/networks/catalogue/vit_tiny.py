"""A small vision transformer, outside the theorems' class."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import ImageNetworkChoice
from sdqviz.networks.training import Recipe

if TYPE_CHECKING:
    from torch import nn

PATCHES = 4
"""Patches along a side of the image: 16 in all, 7 × 7 pixels each for MNIST, 8 × 8 for CIFAR-10."""


@NETWORKS.register
@dataclasses.dataclass(frozen=True)
class VitTiny(ImageNetworkChoice):
    """Sixteen patches and a class token of length 48, four blocks with four heads, dense layers of width 96 inside.

    Query, key and value are dense layers of their own.

    Notes
    -----
    After Dosovitskiy et al., *An image is worth 16x16 words* (ICLR 2021), far smaller and without dropout.
    """

    name = "vit-tiny"
    title = "Vision transformer, 4 blocks"
    recipe = Recipe(epochs=6, batch=128, rate=3e-3, decay=0.1)
    training_seconds = 90.0

    def layout(self) -> nn.Module:
        """Return the modules."""
        from sdqviz.networks.blocks.vision_transformer import VisionTransformer

        return VisionTransformer(
            self.channels, self.size, self.size // PATCHES, width=48, depth=4, heads=4, hidden=96, classes=10
        )
