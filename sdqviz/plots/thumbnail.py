"""Small pictures of worked examples, each from its stored numbers, as SVG inside an image element."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.theme import Ink, Look

WIDTH, HEIGHT, EDGE = 240, 56, 14
"""Of a picture, and what stays free at each side."""


def draw(page: str, result: Mapping[str, Any], ink: Ink) -> str:
    """Return the picture of a stored result.

    Parameters
    ----------
    page : str
        Address of the page it belongs to.
    result : mapping
        What its preset stores.
    ink : Ink
        The page's colours.

    Returns
    -------
    str
        An ``img`` element with the numbers as its ``alt``; empty for a page without pictures.
    """
    return PICTURES[page](result, ink) if page in PICTURES else ""


def _svg(parts: Sequence[str], told: str) -> str:
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'
    data = base64.b64encode(drawn.encode()).decode()
    return (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{told}" title="{told}" '
        f'style="width:100%;max-width:{WIDTH}px;display:block">'
    )


def _mark(look: Look, x: float, y: float, ink: Ink) -> str:
    """Return a mark: a dashed upright for bounds, a diamond for rounding, a square for the rest."""
    colour = look.colour(ink)
    if look is theme.BOUND:
        line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{y - 16:.1f}" y2="{y + 16:.1f}"'
        return f'<line {line} stroke="{colour}" stroke-width="2" stroke-dasharray="4 3"/>'
    if look is theme.ROUNDING:
        points = f"{x:.1f},{y - 8:.1f} {x + 8:.1f},{y:.1f} {x:.1f},{y + 8:.1f} {x - 8:.1f},{y:.1f}"
        return f'<polygon points="{points}" fill="{colour}"/>'
    if look is theme.COMPRESSED:
        return f'<rect x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12" fill="{colour}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>'


def _dots(marks: Mapping[str, tuple[float, Look]], ink: Ink) -> str:
    """Return marks on one logarithmic line: further left is smaller."""
    values = [math.log10(max(value, 1e-12)) for value, _ in marks.values()]
    low, high = min(values), max(values)
    room = max(high - low, 1e-9)
    y = HEIGHT / 2
    line = f'<line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}" stroke="{ink.faint}" stroke-width="3"/>'
    at = [EDGE + 8 + (WIDTH - 2 * EDGE - 16) * (value - low) / room for value in values]
    told = ", ".join(f"{name} {number(value)}" for name, (value, _) in marks.items())
    return _svg([line, *(_mark(look, x, y, ink) for x, (_, look) in zip(at, marks.values(), strict=True))], told)


def _bars(shares: Mapping[str, tuple[float, Look]], ink: Ink) -> str:
    """Return bars of shares from 0 to 1 below each other."""
    height = (HEIGHT - 8) / len(shares)
    parts = []
    for k, (share, look) in enumerate(shares.values()):
        box = f'x="{EDGE}" y="{4 + k * height:.1f}" height="{height - 4:.1f}" rx="2"'
        full = WIDTH - 2 * EDGE
        parts.append(f'<rect {box} width="{full}" fill="{ink.faint}"/>')
        parts.append(f'<rect {box} width="{full * min(max(share, 0), 1):.1f}" fill="{look.colour(ink)}"/>')
    return _svg(parts, ", ".join(f"{name} {100 * share:.1f} %" for name, (share, _) in shares.items()))


def _vector(result: Mapping[str, Any], ink: Ink) -> str:
    return _dots(
        {"error of ΣΔ": (result["relative_error"], theme.COMPRESSED),
         "of rounding": (result["relative_error_pcm"], theme.ROUNDING),
         "bound": (result["bound"], theme.BOUND)}, ink,
    )  # fmt: skip


def _frame(result: Mapping[str, Any], ink: Ink) -> str:
    return _dots(
        {"length of the tour": (result["variation"], theme.COMPRESSED),
         "its bound": (result["wang_limit"], theme.BOUND)}, ink,
    )  # fmt: skip


def _path(result: Mapping[str, Any], ink: Ink) -> str:
    names = {"relative_error_rounding": "round-to-nearest", "relative_error_gptq": "gptq",
             "relative_error_gpfq": "gpfq", "relative_error_spfq": "spfq", "relative_error": "unified"}  # fmt: skip
    return _dots(
        {f"error of {name}": (result[key], theme.METHODS[name]) for key, name in names.items()}
        | {"bound": (result["bound"], theme.BOUND)}, ink,
    )  # fmt: skip


def _network(result: Mapping[str, Any], ink: Ink) -> str:
    return _bars(
        {"accuracy before": (result["accuracy_before"], theme.ORIGINAL),
         "after": (result["accuracy_after"], theme.COMPRESSED),
         "bits a weight of 32": (result["bits_per_weight"] / 32, theme.COMPRESSED)}, ink,
    )  # fmt: skip


def _geta(result: Mapping[str, Any], ink: Ink) -> str:
    return _bars(
        {"units kept": (1 - result["removed"] / result["units"], theme.COMPRESSED),
         "bit operations left": (result["relative_bops"], theme.COMPRESSED),
         "accuracy": (result["accuracy_after"], theme.METHODS["geta"])}, ink,
    )  # fmt: skip


def _bounds(result: Mapping[str, Any], ink: Ink) -> str:
    """Return the fitted slope as a line, and above it the bound, nearest where it comes closest."""
    slope = max(min(result["slope"], 2.0), -2.0)
    rise = 9 * slope
    y = HEIGHT / 2 + 6
    gap = min(8 + 6 * math.log10(max(result["smallest_ratio"], 1.0)), 20)
    ends = f'x1="{EDGE}" x2="{WIDTH - EDGE}"'
    lines = [
        f'<line {ends} y1="{y + rise:.1f}" y2="{y - rise:.1f}" stroke="{theme.ERROR.colour(ink)}" stroke-width="3"/>',
        f'<line {ends} y1="{y + rise - gap:.1f}" y2="{y - rise - gap:.1f}" stroke="{ink.text}" stroke-width="2" '
        'stroke-dasharray="5 4"/>',
    ]
    told = f"slope {number(result['slope'])}, bound at least {number(result['smallest_ratio'])} × measured"
    return _svg(lines, told)


def _compare(result: Mapping[str, Any], ink: Ink) -> str:
    return _bars(
        {"accuracy of the best": (result["accuracy_after"], theme.METHODS.get(result["best"], theme.COMPRESSED)),
         "runs on the front": (result["front"] / result["runs"], theme.COMPRESSED)}, ink,
    )  # fmt: skip


PICTURES: dict[str, Callable[[Mapping[str, Any], Ink], str]] = {
    "sigma-delta": _vector, "frames": _frame, "path-following": _path, "network": _network, "geta": _geta,
    "bounds": _bounds, "compare": _compare,
}  # fmt: skip
"""By page."""
