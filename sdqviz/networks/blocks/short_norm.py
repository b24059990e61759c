"""Norms over channels of which some were removed: in the moments these still count, as the zeros they were."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ShortLayerNorm(nn.Module):
    """Layer normalisation of what is left of ``entries`` numbers, the others being zero.

    Parameters
    ----------
    weight, bias : Parameter or None
        In the shape of what is left of the normalised dimensions.
    entries : int
        How many numbers the moments are taken over, with the removed ones.
    eps : float
        Added to the variance.
    first : bool
        Whether channels lie along dimension 1 rather than last.

    Notes
    -----
    With n entries of which m are left, mean μ = Σx/n and variance (Σ(x − μ)² + (n − m) μ²)/n.
    """

    def __init__(
        self, weight: nn.Parameter | None, bias: nn.Parameter | None, entries: int, eps: float, *, first: bool = False
    ) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self.entries, self.eps, self.first = entries, eps, first

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimensions, or dimension 1."""
        rank = self.weight.ndim if self.weight is not None else 1
        lined = x.movedim(1, -1) if self.first else x
        normed = _standardised(lined, tuple(range(-rank, 0)), self.entries, self.eps)
        normed = normed if self.weight is None else normed * self.weight
        normed = normed if self.bias is None else normed + self.bias
        return normed.movedim(-1, 1) if self.first else normed

    def extra_repr(self) -> str:
        """Show how many entries are left of how many."""
        left = "all" if self.weight is None else str(self.weight.numel())
        return f"{left} of {self.entries}, eps={self.eps}"


class ShortRMSNorm(nn.Module):
    """Division by the root of the mean square of ``entries`` numbers, of which the removed ones are zero.

    Parameters
    ----------
    weight : Parameter
        In the shape of what is left of the normalised dimensions.
    entries : int
        How many numbers the mean is taken over.
    eps : float or None
        Added to the mean square; None for the precision of the input.
    """

    def __init__(self, weight: nn.Parameter, entries: int, eps: float | None) -> None:
        super().__init__()
        self.weight = weight
        self.entries, self.eps = entries, eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimensions."""
        dims = tuple(range(-self.weight.ndim, 0))
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        square = x.square().sum(dims, keepdim=True) / self.entries
        return x * torch.rsqrt(square + eps) * self.weight

    def extra_repr(self) -> str:
        """Show how many entries are left of how many."""
        return f"{self.weight.numel()} of {self.entries}, eps={self.eps}"


class ShortGroupNorm(nn.Module):
    """Group normalisation of what is left of ``entries`` channels, the others being zero.

    Parameters
    ----------
    groups : int
        Groups of channels, each with the same number left.
    weight, bias : Parameter or None, shape (left,)
        Scale and shift of each channel.
    entries : int
        How many channels there were.
    eps : float
        Added to the variance.
    """

    def __init__(
        self, groups: int, weight: nn.Parameter | None, bias: nn.Parameter | None, entries: int, eps: float
    ) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self.groups, self.entries, self.eps = groups, entries, eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise tensors of shape (batch, channels, ...)."""
        grouped = x.reshape(x.shape[0], self.groups, -1)
        entries = grouped.shape[2] * self.entries // x.shape[1]  # with the places of each removed channel
        normed = _standardised(grouped, (2,), entries, self.eps).reshape(x.shape)
        lined = (-1, *[1] * (x.ndim - 2))
        normed = normed if self.weight is None else normed * self.weight.view(lined)
        return normed if self.bias is None else normed + self.bias.view(lined)

    def extra_repr(self) -> str:
        """Show how many channels are left of how many."""
        left = "all" if self.weight is None else str(self.weight.numel())
        return f"{self.groups} groups, {left} of {self.entries}, eps={self.eps}"


def _standardised(x: Tensor, dims: tuple[int, ...], entries: int, eps: float) -> Tensor:
    """Return (x − μ)/√(σ² + ε) with the moments over ``entries`` numbers, those not in x being zero."""
    left = 1
    for dim in dims:
        left *= x.shape[dim]
    mean = x.sum(dims, keepdim=True) / entries
    centred = x - mean
    variance = (centred.square().sum(dims, keepdim=True) + (entries - left) * mean.square()) / entries
    return centred * torch.rsqrt(variance + eps)
