"""The basic block of residual convolutional networks as a torch module."""

from __future__ import annotations

import torch
from torch import nn


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with batch normalisation beside a shortcut: x ↦ ρ(s(x) + N₂ C₂ ρ(N₁ C₁ x)), ρ = ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Stride of the first convolution and of the shortcut.

    Notes
    -----
    He, Zhang, Ren & Sun, *Deep residual learning for image recognition*, CVPR 2016. The shortcut s is the identity
    where shapes agree, and a 1 × 1 convolution with batch normalisation where they do not (their option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block to images, shape (n, inputs, height, width)."""
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.shortcut(x) + self.norm2(self.conv2(inner)))
