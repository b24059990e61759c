"""Recomputes what presets store: ``python -c "from sdqviz.plots import stored; stored.restore()"``."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from sdqviz import preset
from sdqviz.preset import Preset

PAGE_MODULES = {
    "": "sdqviz.plots.start",
    "sigma-delta": "sdqviz.plots.sigma_delta",
    "frames": "sdqviz.plots.frames",
    "network": "sdqviz.plots.network",
}
"""The module of each page whose ``summary(choices)`` gives the numbers its presets store."""


def recompute(stored: Preset) -> dict[str, Any]:
    """Return the result of a preset, computed anew from its choices."""
    result: dict[str, Any] = importlib.import_module(PAGE_MODULES[stored.page]).summary(stored.choices)
    return result


def restore(page: str | None = None) -> None:
    """Recompute and rewrite every shipped preset, or those of one page."""
    for stored in preset.load():
        if page is None or stored.page == page:
            preset.write(dataclasses.replace(stored, result=recompute(stored)))
