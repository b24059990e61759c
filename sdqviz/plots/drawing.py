"""The figure all plots are drawn on: Plotly's, quicker to send."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.plots.plain_figure import PlainFigure


class Drawing(PlainFigure):
    """A figure that is quick to send: frames are taken as plain dictionaries, and nothing is copied twice.

    Of every frame a `plotly.graph_objects.Frame` would check and copy each of its hundred fields, which took half of a
    redraw with an animation.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        self._moments: list[dict[str, Any]] = []
        super().__init__(*given, **more)
        if given or "frames" in more:
            self._moments = [one.to_plotly_json() for one in self._frame_objs]

    @property
    def frames(self) -> tuple[dict[str, Any], ...]:
        """The frames as they were given."""
        return tuple(self._moments)

    @frames.setter
    def frames(self, given: Iterable[Mapping[str, Any]]) -> None:
        self._moments = [dict(one) for one in given]

    def to_dict(self) -> dict[str, Any]:
        """Return data, layout and frames as they are sent.

        Few numbers are sent as lists, many in base64, and what a template says is written where it applies: Plotly
        would look it up for every property.
        """
        traces, layout = self.content
        few = _count(traces) <= LISTED
        data = _sent(traces, listed=few)
        sent = {"data": data, "layout": _with_its_template(_sent(layout, listed=few), data)}
        moments = [one | {"data": _sent(one.get("data", []))} for one in self.frames]  # arrays are in their data only
        return sent | ({"frames": moments} if moments else {})


LISTED = 3900
"""The most numbers of a figure that are sent as lists, which are twice as long as base64."""


_SIMPLE = frozenset((int, float, str, bool, type(None)))


def _count(value: Any) -> int:
    """Return how many numbers the arrays of a figure's data hold."""
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_count, value))
    return value.size if isinstance(value, np.ndarray) else 0


def _sent(value: Any, *, listed: bool = False) -> Any:
    """Write arrays of numbers as the browser reads them; dictionaries and lists with arrays in them are copied."""
    if isinstance(value, dict):
        if _SIMPLE.issuperset(map(type, value.values())):
            return value
        return {key: _sent(one, listed=listed) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        if _SIMPLE.issuperset(map(type, value)):
            return value
        return [_sent(one, listed=listed) for one in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.size:
        return _as_list(value) if listed else _in_base64(value)
    return value


def _as_list(values: Array) -> list[Any]:
    """Return numbers as a list without NaN, those of four bytes with as many digits as tell them apart."""
    if values.dtype.kind in "iu":
        return list(values.tolist())
    short, values = values.dtype.itemsize <= 4, values.astype(np.float64)
    if short:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scale = 10.0 ** (8 - np.floor(np.log10(np.abs(values))))
            rounded = np.rint(values * scale) / scale
        values = np.where(np.isfinite(rounded), rounded, values)
    if np.isfinite(values).all():
        return list(values.tolist())
    told = values.astype(object)
    told[~np.isfinite(values)] = None
    return list(told.tolist())


def _with_its_template(layout: dict[str, Any], data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write into a layout what its template says, unless that speaks of traces too."""
    template = layout.get("template", {})
    if not template.get("layout") or template.get("data"):
        return layout
    layout, usual = {name: one for name, one in layout.items() if name != "template"}, dict(template["layout"])
    note = usual.pop("annotationdefaults", {})
    if layout.get("annotations"):
        layout["annotations"] = [_over(note, one) for one in layout["annotations"]]
    for side in ("xaxis", "yaxis"):
        axis = usual.pop(side, {})
        used = {one.get(side, side[0]).replace(side[0], side) for one in data}
        for name in sorted(used | {name for name in layout if name.startswith(side)}):
            layout[name] = _over(axis, layout.get(name, {}))
    return dict(_over(usual, layout))


def _over(usual: Any, given: Any) -> Any:
    """Return what is given, and the usual where nothing is."""
    if not (isinstance(usual, dict) and isinstance(given, dict)):
        return given
    return usual | {name: _over(usual.get(name), one) for name, one in given.items()}


def _in_base64(values: Array) -> dict[str, str]:
    """Return numbers as plotly.js reads them, in the shortest of its types that holds them exactly."""
    if values.dtype.kind in "iu":
        shortest = np.result_type(np.min_scalar_type(values.min()), np.min_scalar_type(values.max()))
        values = values.astype(shortest if shortest.itemsize <= 4 and shortest.kind in "iu" else np.float64)
    elif values.dtype.itemsize < 4:
        values = values.astype(np.float32)
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    sent = {
        "dtype": values.dtype.kind + str(values.dtype.itemsize),
        "bdata": base64.b64encode(little.tobytes()).decode(),
    }
    return sent if values.ndim == 1 else sent | {"shape": ", ".join(map(str, values.shape))}
