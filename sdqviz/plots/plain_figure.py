"""A Plotly figure that is built of dictionaries, and becomes Plotly's own objects only where somebody asks for them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.shapeannotation import axis_spanning_shape_annotation, split_dict_by_key_prefix
from plotly.subplots import make_subplots

WHOLE_WORDS = ("paper_bgcolor", "plot_bgcolor", "error_x", "error_y", "error_z")
"""Names with a line in them; every other ``a_b`` means ``b`` of ``a``."""

LISTS = ("annotations", "buttons", "images", "shapes", "sliders", "steps", "updatemenus")
"""Lists of objects, into which an update is merged one by one."""


class PlainFigure(go.Figure):  # type: ignore[misc]  # Plotly has no types
    """A figure as dictionaries.

    Plotly checks and copies each property in an object of its own: four fifths of the time a page took to answer. What
    builds the plots here is done on dictionaries, with the same result. Everything else works too: the figure is then
    turned into Plotly's objects, and checked, first.

    Parameters
    ----------
    layout : dict, optional
        Its layout.
    grid : Figure, optional
        From `grid`: several plots, with rows and columns.
    """

    def __init__(self, *given: Any, layout: Any = None, grid: Any = None, **more: Any) -> None:
        self._made: tuple[list[dict[str, Any]], dict[str, Any]] | None = (
            [],
            {} if given or more else _plain(layout or {}),
        )
        self._grid = grid
        if grid is not None:
            self._made = ([], _plain({**grid._layout, **(layout or {})}))
        if given or more:
            self._made = None
            super().__init__(*given, **more, **({} if layout is None else {"layout": layout}))

    def __getattr__(self, name: str) -> Any:
        """Become whole for the first one who needs what only Plotly's figure has."""
        if name.startswith("__") or not name.startswith("_") or self.__dict__.get("_made") is None:
            raise AttributeError(name)
        (data, layout), self._made = self._made, None  # type: ignore[misc]
        super().__init__(data=data, layout=layout)
        if self._grid is not None:
            self._grid_ref, self._grid_str = self._grid._grid_ref, self._grid._grid_str
        return getattr(self, name)

    @property
    def content(self) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
        """Traces and layout as dictionaries, not to be changed."""
        return (self._data, self._layout) if self._made is None else self._made

    @property
    def count(self) -> int:
        """How many traces there are."""
        return len(self.content[0])

    def given(self, *path: str | int) -> Any:
        """Return what the layout says at a place such as ``"margin", "t"``, or None."""
        found: Any = self.content[1]
        for name in path:
            if isinstance(found, Mapping):
                found = found.get(name)
            else:
                found = found[name] if found and isinstance(name, int) else None
        return found

    def add_scatter(self, row: Any = None, col: Any = None, **trace: Any) -> PlainFigure:
        """Add points or lines."""
        return self.add_trace({"type": "scatter"} | trace, row=row, col=col)

    def add_bar(self, row: Any = None, col: Any = None, **trace: Any) -> PlainFigure:
        """Add bars."""
        return self.add_trace({"type": "bar"} | trace, row=row, col=col)

    def add_heatmap(self, row: Any = None, col: Any = None, **trace: Any) -> PlainFigure:
        """Add a matrix as colours."""
        return self.add_trace({"type": "heatmap"} | trace, row=row, col=col)

    def add_trace(self, trace: Any, row: Any = None, col: Any = None, **more: Any) -> PlainFigure:
        """Add a trace."""
        if self._made is None or more.pop("secondary_y", None) or not isinstance(trace, dict):
            super().add_trace(trace, row=row, col=col, **more)
            return self
        trace = {"type": "scatter"} | _plain(trace)
        if row is not None:
            trace.update(self._cell(row, col).trace_kwargs)
        self._made[0].append(trace)
        return self

    def change(self, place: int, content: Mapping[str, Any]) -> None:
        """Merge into the trace at a place."""
        if self._made is None:
            self.data[place].update(content)
        else:
            _merge(self._made[0][place], content)

    def update_layout(self, dict1: Any = None, overwrite: bool = False, **more: Any) -> PlainFigure:
        """Merge into the layout."""
        if self._made is None or overwrite or not isinstance(dict1, dict | None):
            super().update_layout(dict1, overwrite, **more)
        else:
            _merge(self._made[1], {**(dict1 or {}), **more})
        return self

    def update_xaxes(self, patch: Any = None, row: Any = None, col: Any = None, **more: Any) -> PlainFigure:
        """Merge into horizontal axes."""
        return self._update_axes("xaxis", patch, row, col, more)

    def update_yaxes(self, patch: Any = None, row: Any = None, col: Any = None, **more: Any) -> PlainFigure:
        """Merge into vertical axes."""
        return self._update_axes("yaxis", patch, row, col, more)

    def update_annotations(self, patch: Any = None, **more: Any) -> PlainFigure:
        """Merge into all annotations."""
        if self._made is None or {"row", "col", "selector", "secondary_y", "overwrite"} & set(more):
            super().update_annotations(patch, **more)
            return self
        for one in self._made[1].get("annotations", ()):
            _merge(one, {**(patch or {}), **more})
        return self

    def add_annotation(self, arg: Any = None, row: Any = None, col: Any = None, **more: Any) -> PlainFigure:
        """Add words."""
        return self._add("annotation", arg, row, col, more)

    def add_shape(self, arg: Any = None, row: Any = None, col: Any = None, **more: Any) -> PlainFigure:
        """Add a shape."""
        return self._add("shape", arg, row, col, more)

    def _process_multiple_axis_spanning_shapes(
        self, shape_args: Any, row: Any, col: Any, shape_type: str, exclude_empty_subplots: Any = True,
        annotation: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Add a line or a band across a plot, for ``add_hline`` and its like."""
        if self._made is None:
            super()._process_multiple_axis_spanning_shapes(
                shape_args, row, col, shape_type, exclude_empty_subplots, annotation, **kwargs
            )
            return
        layout = self._made[1]
        if self._grid is None:
            row = col = None
        before = {name: len(layout.get(name, ())) for name in ("shapes", "annotations")}
        shape, noted = split_dict_by_key_prefix(kwargs, "annotation_")
        note = axis_spanning_shape_annotation(copy.copy(annotation), shape_type, shape_args, noted)
        self.add_shape(row=row, col=col, exclude_empty_subplots=exclude_empty_subplots, **shape_args, **shape)
        if note is not None:
            more = {"exclude_empty_subplots": exclude_empty_subplots}
            self.add_annotation(note | {"yref": shape.get("yref", "y")}, row=row, col=col, **more)
        across = "yref" if shape_type.startswith("v") else "xref"
        for name, first in before.items():
            for one in layout.get(name, ())[first:]:
                if row is None and one is layout[name][-1]:
                    one["xref"], one["yref"] = one.get("xref", "x"), one.get("yref", "y")
                one[across] += " domain"

    def _cell(self, row: int, col: int) -> Any:
        if self._grid is None or not self._grid._grid_ref[row - 1][col - 1]:
            raise ValueError(f"no plot at row {row}, column {col}")
        return self._grid._grid_ref[row - 1][col - 1][0]

    def _cells(self, row: Any, col: Any) -> Iterator[tuple[int, int]]:
        """Yield the places of plots that are meant; a number, or ``"all"`` or None for each."""
        for r, line in enumerate(self._grid._grid_ref, start=1):
            for c, cell in enumerate(line, start=1):
                if cell and row in (r, "all", None) and col in (c, "all", None):
                    yield r, c

    def _update_axes(self, kind: str, patch: Any, row: Any, col: Any, more: dict[str, Any]) -> PlainFigure:
        if self._made is None or {"selector", "overwrite", "secondary_y"} & set(more):
            getattr(super(), f"update_{kind[0]}axes")(patch, row=row, col=col, **more)
            return self
        layout, patch = self._made[1], {**(patch or {}), **more}
        if row is None and col is None:
            names = {kind, *(name for name in layout if name.startswith(kind))}
        else:
            side = "xy".index(kind[0])
            names = {self._cell(*place).layout_keys[side] for place in self._cells(row, col)}
        for name in names:
            _merge(layout.setdefault(name, {}), patch)
        return self

    def _add(self, kind: str, arg: Any, row: Any, col: Any, more: dict[str, Any]) -> PlainFigure:
        if self._made is None or "secondary_y" in more or not isinstance(arg, dict | None):
            getattr(super(), f"add_{kind}")(arg, row=row, col=col, **more)
            return self
        unless_empty = more.pop("exclude_empty_subplots", None)
        one, listed = _plain({**(arg or {}), **more}), self._made[1].setdefault(f"{kind}s", [])
        places = [None] if row is None else [(row, col)]
        if isinstance(row, str) or isinstance(col, str):
            places = list(self._cells(row, col))
        for place in places:
            new = dict(one)
            if place is not None:
                x, y = (name.replace("axis", "") for name in self._cell(*place).layout_keys)
                own = new.get("yref", "y")
                y = y if own == "y" or "paper" in own or "domain" in own else own
                if unless_empty and not self._is_used(x, y):
                    continue
                for name, ref in (("xref", x), ("yref", y)):
                    new[name] = f"{ref} domain" if "domain" in new.get(name, "") else ref
            listed.append(new)
        return self

    def _is_used(self, x: str, y: str) -> bool:
        data, layout = self._made  # type: ignore[misc]
        if any((one.get("xaxis", "x"), one.get("yaxis", "y")) == (x, y) for one in data):
            return True
        return any(
            (one.get("xref", "x"), one.get("yref", "y")) == (x, y)
            for name in ("shapes", "annotations", "images")
            for one in layout.get(name, ())
        )


def grid(**arguments: Any) -> go.Figure:
    """Return the figure `plotly.subplots.make_subplots` makes, made once for equal arguments; not to be changed."""
    return _grid(_Arguments(arguments))


class _Arguments(dict[str, Any]):
    """Arguments that are told apart by how they are written."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(sorted(self.items())))


@functools.lru_cache(128)
def _grid(arguments: _Arguments) -> go.Figure:
    return make_subplots(figure=go.Figure(layout={"template": {}}), **copy.deepcopy(arguments))  # it changes them


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new dictionary in Plotly's long form: ``a_b`` as ``b`` of ``a``, titles as objects, nothing None."""
    made: dict[str, Any] = {}
    _merge(made, given)
    return made


@functools.cache
def _colours(scale: str) -> list[list[Any]]:
    """Return the colours that Plotly means by the name of a scale."""
    return [list(one) for one in go.Heatmap(colorscale=scale).colorscale]


def _merge(into: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Write into a part of a figure what is given, as Plotly's ``update`` does."""
    for name, value in given.items():
        if "_" in name and name not in WHOLE_WORDS:
            part, _, rest = name.partition("_")
            _write(into, part, {rest: value})
        elif name == "title" and isinstance(value, str):
            _write(into, name, {"text": value})
        else:
            _write(into, name, value)


def _write(into: dict[str, Any], name: str, value: Any) -> None:
    there = into.get(name)
    if value is None:
        into.pop(name, None)
    elif name == "template":  # shared by all, and replaced as a whole
        into[name] = value
    elif isinstance(value, dict):
        into[name] = dict(there) if isinstance(there, dict) else {}
        _merge(into[name], value)
        if not into[name]:
            del into[name]
    elif name in LISTS and there:
        merged = [dict(one) for one in there]
        for place, one in enumerate(merged if len(value) else ()):
            _merge(one, value[place % len(value)])
        into[name] = [*merged, *map(_plain, value[len(merged) :])]
    elif name in LISTS:
        into[name] = [_plain(one) for one in value]
    else:
        into[name] = _colours(value) if name == "colorscale" and isinstance(value, str) else value
