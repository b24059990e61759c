"""Strict JSON: read without trusting what it says, written so that every program can read it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from sdqviz.error import InputError

WORDS = ("NaN", "Infinity", "-Infinity")
"""What `spelled` writes for numbers that JSON does not know; `number` reads them."""


_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_json(text: bytes | str, need: str, deepest: int = 16, *, finite: bool = True) -> dict[str, Any]:
    """Read a JSON object that may come from anywhere.

    Parameters
    ----------
    text : bytes or str
        What was read; its length is limited by the caller.
    need : str
        How the message begins: ``"a file must have a table"``.
    deepest : int
        How far objects and lists may lie in one another.
    finite : bool
        Whether NaN and infinities are refused, which JSON does not know and Python writes all the same.

    Raises
    ------
    InputError
        If it is no such object, has a name twice, holds NaN or an infinity where they are refused, holds half of a
        character, which no file can be written with, or is nested deeper.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name occurs twice")
        return found

    def constant(name: str) -> float:
        if not finite:
            return _NUMBERS[name]
        raise ValueError(f"{name} is not a number of JSON")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
        if b"\\u" in text if isinstance(text, bytes) else "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else shortened(str(error))
        raise InputError(f"{need} in JSON, got something else: {why}") from None
    if not isinstance(value, dict) or _deeper(value, deepest):
        raise InputError(f"{need} that is a JSON object, at most {deepest} deep, got something else")
    return value


def write_json(value: Any, indent: int | None = None, *, ordered: bool = False) -> str:
    """Write JSON, compact unless indented; letters stay letters, and names come in order if asked.

    Raises
    ------
    ValueError
        If it holds NaN or an infinity, which JSON does not know; `spelled` writes those as words.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        value, indent=indent, allow_nan=False, ensure_ascii=False, separators=separators, sort_keys=ordered
    )


def canonical(value: Any) -> str:
    """Return the one text of a value, whatever the order of its names: what keys are made of, and what is compared.

    Stored keys and recipes hold this very form.

    Raises
    ------
    ValueError
        As for `write_json`.
    """
    return json.dumps(value, allow_nan=False, sort_keys=True)


def spelled(value: Any) -> Any:
    """Return a value with the numbers that JSON does not know as words, and every sequence as a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: spelled(item) for key, item in value.items()}
    return [spelled(item) for item in value] if isinstance(value, list | tuple) else value


def number(value: Any) -> float:
    """Return a number, or what one of `WORDS` stands for; NaN is always the same object, as from `read_json`."""
    return _NUMBERS[value] if isinstance(value, str) and value in WORDS else float(value)


def shortened(value: object) -> str:
    """Return a value of a file as text for a message, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    printable = "".join(letter if letter.isprintable() else "?" for letter in text[:64])
    return printable + ("…" if len(text) > 64 else "")


def _deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value is nested deeper than so many levels, looking no further than that."""
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(entry, levels - 1) for entry in inside)
