"""Recomputes what presets store: ``python -c "from sdqviz.explore import stored; stored.restore()"``."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from sdqviz.choice import Choice
from sdqviz.explore import preset
from sdqviz.explore.pasted import parse_rows
from sdqviz.explore.preset import Preset
from sdqviz.registry import Registry

C = TypeVar("C", bound=Choice)

PAGE_MODULES = {
    "": "sdqviz.explore.start",
    "sigma-delta": "sdqviz.explore.sigma_delta",
    "frames": "sdqviz.explore.frames",
    "path-following": "sdqviz.explore.layer_walks.link",
    "network": "sdqviz.explore.network.link",
    "compare": "sdqviz.experiments.compare.link",
    "geta": "sdqviz.explore.geta.run",
    "bounds": "sdqviz.explore.bounds.link",
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


def chosen(cls: type[C], choices: Mapping[str, Any], prefix: str = "") -> C:
    """Build a choice from the parameters of a link; those of other forms are passed over."""
    given = {name: choices[prefix + name] for name in cls.specs() if prefix + name in choices}
    for name, kind in cls.kinds().items():
        if kind is not str and isinstance(given.get(name), str):
            given[name] = parse_rows(given[name])  # a table of numbers travels as text
    return cls(**given)


def picked(registry: Registry[C], choices: Mapping[str, Any], key: str, default: str, prefix: str = "") -> C:
    """Build the choice of a registry that the parameters of a link name."""
    return chosen(registry[choices.get(key, default)], choices, prefix)
