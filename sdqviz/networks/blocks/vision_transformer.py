"""A small vision transformer as torch modules, with query, key and value as layers of their own."""

from __future__ import annotations

import torch
from torch import nn


class Attention(nn.Module):
    """Self-attention with several heads.

    Parameters
    ----------
    width : int
        Length of a token.
    heads : int
        Divides ``width``.

    Notes
    -----
    Vaswani et al., *Attention is all you need*, NeurIPS 2017. The scale 1/√(width/heads) is fixed when the module
    is made, so that a head from which some dimensions are removed computes what it computed with zeros there.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = float((width // heads) ** -0.5)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, shape (n, tokens, width)."""
        query, key, value = self._by_head(self.query(x)), self._by_head(self.key(x)), self._by_head(self.value(x))
        shares = torch.softmax(torch.matmul(query, key.transpose(-2, -1)) * self.scale, dim=-1)
        return self.output(torch.matmul(shares, value).transpose(1, 2).flatten(2))

    def _by_head(self, x: torch.Tensor) -> torch.Tensor:
        """Return shape (n, heads, tokens, whatever is left of a head)."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Attention and two dense layers, each after a layer normalisation and beside a shortcut.

    Parameters
    ----------
    width, heads : int
        Of the attention.
    hidden : int
        Width between the dense layers.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block to tokens, shape (n, tokens, width)."""
        x = x + self.attention(self.norm1(x))
        return x + self.outer(nn.functional.gelu(self.inner(self.norm2(x))))


class VisionTransformer(nn.Module):
    """Cuts an image into patches, mixes them with a class token, and reads the classes off that token.

    Parameters
    ----------
    channels, size, patch : int
        Channels, and height and width in pixels, of the images and of a patch; ``patch`` divides ``size``.
    width, depth, heads, hidden : int
        Length of a token, number of blocks, heads, and width of the dense layers inside a block.
    classes : int
        Outputs.

    Notes
    -----
    Dosovitskiy et al., *An image is worth 16x16 words*, ICLR 2021, without dropout.
    """

    def __init__(
        self, channels: int, size: int, patch: int, width: int, depth: int, heads: int, hidden: int, classes: int
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of images, shape (n, classes)."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], dim=1) + self.position
        return self.output(self.norm(self.blocks(tokens))[:, 0])
