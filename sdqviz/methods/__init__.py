"""Methods: ways to compress a network, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdqviz.registry import Registry

if TYPE_CHECKING:
    from sdqviz.methods.method import MethodChoice

METHODS: Registry[MethodChoice] = Registry("sdqviz.methods", "method")
