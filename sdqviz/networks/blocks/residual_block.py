"""The residual block of the theorems as a torch module."""

from __future__ import annotations

import torch
from torch import nn


class ResidualBlock(nn.Module):
    """A block x ↦ x + V ρ(W x), or ρ(x + V ρ(W x)), with ρ = ReLU and square W (inner) and V (outer).

    Parameters
    ----------
    width : int
        Length of x.
    bias : bool
        Whether W and V carry biases.
    relu_after : bool
        Whether a ReLU follows the sum.

    Notes
    -----
    Czaja & Na (arXiv 2404.08131), equation 2.
    """

    def __init__(self, width: int, *, bias: bool = False, relu_after: bool = False) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width, bias=bias)
        self.outer = nn.Linear(width, width, bias=bias)
        self.relu_after = relu_after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block to vectors, shape (..., width)."""
        y = x + self.outer(torch.relu(self.inner(x)))
        return torch.relu(y) if self.relu_after else y

    def extra_repr(self) -> str:
        """Show whether a ReLU follows."""
        return f"relu_after={self.relu_after}"
