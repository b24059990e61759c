"""Presets: worked examples with their stored results, one JSON file each in ``assets/presets``.

A file holds the page it belongs to, a title, one sentence on what to look at, the choices (exactly
the parameters of the link) and the result: the page's headline numbers, recomputed by a test.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.strict_json import read_json, write_json


@dataclasses.dataclass(frozen=True)
class Preset:
    """One worked example.

    Attributes
    ----------
    name : str
        Name of the file without its ending.
    page : str
        Address of the page.
    title : str
        A few words.
    look : str
        One sentence: what to look at.
    choices : mapping
        Parameters of the page's link.
    result : mapping
        The numbers they give.
    """

    name: str
    page: str
    title: str
    look: str
    choices: Mapping[str, Any]
    result: Mapping[str, Any]


@functools.cache
def load() -> tuple[Preset, ...]:
    """Return all shipped presets, ordered by name.

    Raises
    ------
    InputError
        If a file is damaged.
    """
    return tuple(_read(file) for file in sorted((asset.folder() / "presets").glob("*.json")))


def of_page(page: str) -> dict[str, Preset]:
    """Return the presets of one page by name."""
    return {preset.name: preset for preset in load() if preset.page == page}


def write(preset: Preset) -> Path:
    """Write a preset's file below the assets folder; return its path."""
    values = dataclasses.asdict(preset)
    file = asset.folder() / "presets" / f"{values.pop('name')}.json"
    file.write_text(write_json(values, 1) + "\n", encoding="utf-8")
    load.cache_clear()
    return file


def _read(file: Path) -> Preset:
    try:
        return Preset(name=file.stem, **read_json(file.read_bytes(), "it must be"))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"asset presets/{file.name} must be a preset, got {error}: install sdqviz again") from None
