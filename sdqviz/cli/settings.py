"""From the texts of a command line to choices, numbers and files."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdqviz.error import InputError

if TYPE_CHECKING:
    from sdqviz.choice import Choice
    from sdqviz.networks.catalogue.network_choice import NetworkChoice

SLOW = 10.0
"""Seconds after which a network that is being made is spoken of."""


def choice_from(cls: type[Choice], settings: Sequence[str]) -> Any:
    """Build a choice from ``key=value`` texts.

    Parameters
    ----------
    cls : type of Choice
        The choice; its field types and ranges check the values.
    settings : sequence of str
        ``size=1000``; ``bits_by_layer.hidden1=2`` sets one entry of a per-layer field.

    Raises
    ------
    InputError
        If a text has no ``=``, or a field or value is not allowed.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set must be KEY=VALUE, got {setting!r}")
        name, dot, layer = key.partition(".")
        if dot and isinstance(cls.defaults().get(name), tuple):
            values.setdefault(name, {})[layer] = _value(text)
        else:
            values[key] = _value(text)
    return cls.from_dict(values)


def _value(text: str) -> Any:
    """Read a number, true, false, null or a JSON object; anything else is a name."""
    try:
        return json.loads(text)
    except ValueError:
        return {"none": None, "True": True, "False": False, "None": None}.get(text, text)


def numbers(name: str, text: str, *, whole: bool = False) -> list[float]:
    """Read numbers separated by commas.

    Raises
    ------
    InputError
        If there is none, or one cannot be read.
    """
    noun = "whole numbers" if whole else "numbers"
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"{name} must be {noun} separated by commas, got {text!r}") from None
    if not values or (whole and any(value != value // 1 for value in values)):
        raise InputError(f"{name} must be {noun} separated by commas, got {text!r}")
    return values


def network_class(name: str) -> type[NetworkChoice]:
    """Return the choice class of a catalogue name, or of ``my_file.py:make``, whose code is then run.

    Raises
    ------
    InputError
        If there is no such network, or the file or its function fails.
    """
    if ".py:" not in name:
        from sdqviz.networks.catalogue import NETWORKS

        return NETWORKS[name]
    from sdqviz.networks.module_file import from_file

    def tell() -> None:
        sys.stderr.write(f"sdqviz: {name} has been at work for {SLOW:g} s; Ctrl-C ends it\n")

    timer = threading.Timer(SLOW, tell)
    timer.daemon = True
    timer.start()
    try:
        return from_file(name)
    finally:
        timer.cancel()


def plan_file(plan: str) -> Path:
    """Return the file of a plan: the given one, or a shipped one of that name."""
    from sdqviz import asset

    shipped = asset.folder() / "sweeps" / f"{plan}.toml"
    given = Path(plan)
    return shipped if given.name == plan and not given.exists() and shipped.is_file() else given


def require_writable(output: Path) -> None:
    """Refuse, before the work, a file that could not be written after it."""
    folder = output.resolve().parent
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"output must be a file in a folder that exists and can be written, got {output}")
