"""The figure all plots are drawn on: Plotly's, quicker to send."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array


class Drawing(go.Figure):  # type: ignore[misc]  # Plotly has no types
    """A figure that is quick to send: frames are taken as plain dictionaries, and nothing is copied twice.

    Of every frame a `plotly.graph_objects.Frame` would check and copy each of its hundred fields, which took half of a
    redraw with an animation.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._moments: list[dict[str, Any]] = [one.to_plotly_json() for one in self._frame_objs]

    @property
    def frames(self) -> tuple[dict[str, Any], ...]:
        """The frames as they were given."""
        return tuple(self._moments)

    @frames.setter
    def frames(self, given: Iterable[Mapping[str, Any]]) -> None:
        self._moments = [dict(one) for one in given]

    def to_dict(self) -> dict[str, Any]:
        """Return data, layout and frames as they are sent, with arrays in base64."""
        sent = {"data": _sent(self._data), "layout": _sent(self._layout)}
        return sent | ({"frames": _sent(self.frames)} if self.frames else {})


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
    sent = {
        "dtype": values.dtype.kind + str(values.dtype.itemsize),
        "bdata": base64.b64encode(little.tobytes()).decode(),
    }
    return sent if values.ndim == 1 else sent | {"shape": ", ".join(map(str, values.shape))}
