"""A residual convolutional network of 20 layers, narrow enough for a CPU, outside the theorems' class."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING

from sdqviz.choice import field
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import ImageNetworkChoice
from sdqviz.networks.training import Recipe

if TYPE_CHECKING:
    from torch import nn


@NETWORKS.register
@dataclasses.dataclass(frozen=True)
class Resnet20(ImageNetworkChoice):
    """A 3 × 3 convolution, three stages of three basic blocks, the mean over the image, a dense layer.

    Stages have 1, 2 and 4 times the base width; the second and third halve the image.

    Notes
    -----
    He, Zhang, Ren & Sun (CVPR 2016), section 4.2, n = 3, where the base width is 16 and shortcuts between stages
    pad with zeros; here a 1 × 1 convolution with batch normalisation stands there.
    """

    name = "resnet20"
    title = "ResNet-20, 9 residual blocks"
    recipe = Recipe(epochs=2, batch=128, rate=4e-3, decay=0.1)
    shipped_seeds = (0,)
    training_seconds = 150.0
    testing_seconds = 12.0

    width: int = field(
        8,
        label="Base width",
        help="Channels of the first stage; the original has 16. Other widths than 8 are trained once and kept.",
        minimum=4,
        maximum=16,
    )

    def layout(self) -> nn.Module:
        """Return the modules."""
        from torch import nn

        from sdqviz.networks.blocks.basic_block import BasicBlock

        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv=nn.Conv2d(self.channels, self.width, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(self.width),
            relu=nn.ReLU(),
        )
        before = self.width
        for stage in range(3):
            after = self.width << stage
            first = BasicBlock(before, after, stride=1 if stage == 0 else 2)
            parts[f"stage{stage + 1}"] = nn.Sequential(first, BasicBlock(after, after), BasicBlock(after, after))
            before = after
        return nn.Sequential(
            parts | OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), output=nn.Linear(before, 10))
        )
