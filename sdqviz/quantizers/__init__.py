"""Quantizers: the operators path following can use, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdqviz.registry import Registry

if TYPE_CHECKING:
    from sdqviz.quantizers.quantizer import QuantizerChoice

QUANTIZERS: Registry[QuantizerChoice] = Registry("sdqviz.quantizers", "quantizer")
