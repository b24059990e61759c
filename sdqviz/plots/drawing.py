"""The figure all plots are drawn on: Plotly's, quicker to send."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array


class Drawing(go.Figure):
    """A figure that is quick to send: frames are taken as plain dictionaries, and nothing is copied twice.

    Of every frame a `plotly.graph_objects.Frame` would check and copy each of its hundred fields, which took half of a
    redraw with an animation.
    """

    @property
    def frames(self) -> tuple[dict[str, Any], ...]:
        """The frames as they were given."""
        return tuple(self.__dict__.get("_moments", ()))

    @frames.setter
    def frames(self, given: Iterable[Mapping[str, Any]]) -> None:
        self.__dict__["_moments"] = [dict(one) for one in given]

    def to_dict(self) -> dict[str, Any]:
        """Return data, layout and frames as they are sent, with arrays in base64."""
        sent = {"data": _sent(self._data), "layout": _sent(self._layout)}
        return sent | ({"frames": _sent(self.frames)} if self.frames else {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy the frames too."""
        rebuilt, given = super().__reduce__()
        moments = given[0].pop("frames", ())
        return rebuilt, given, {"_moments": list(moments)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up the frames of the figure this one is a copy of."""
        self.__dict__.update(state)


def _sent(value: Any) -> Any:
    """Copy dictionaries and lists; write arrays of numbers as the browser reads them."""
    if isinstance(value, dict):
        return {key: _sent(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sent(one) for one in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.size:
        return _in_base64(value)
    return value


def _in_base64(values: Array) -> dict[str, str]:
    """Return numbers as plotly.js reads them, in the shortest of its types that holds them exactly."""
    if values.dtype.kind in "iu":
        shortest = np.result_type(np.min_scalar_type(values.min()), np.min_scalar_type(values.max()))
        values = values.astype(shortest if shortest.itemsize <= 4 and shortest.kind in "iu" else np.float64)
    elif values.dtype.itemsize < 4:
        values = values.astype(np.float32)
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    sent = {"dtype": values.dtype.kind + str(values.dtype.itemsize), "bdata": base64.b64encode(little).decode()}
    return sent if values.ndim == 1 else sent | {"shape": ", ".join(map(str, values.shape))}
