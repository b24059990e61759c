"""Turns choices into widgets: each field brings its own label, range and help, and every widget is in the link."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sdqviz.choice import Choice, Options, Spec
from sdqviz.error import InputError
from sdqviz.explore.pasted import parse_rows
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import FrameChoice
from sdqviz.registry import Registry
from sdqviz.ui.link import Link
from sdqviz.ui.ranges import fitting, nearest, step_values

C = TypeVar("C", bound=Choice)


R = TypeVar("R")


PLAIN_SLIDER = 64
"""The widest whole-number range one linear slider serves; wider ones get a logarithmic slider and a box."""


LONGEST_TEXT = 12_000
"""Characters a text field takes: enough for a pasted vector of a thousand numbers, and for a link."""


class Controls:
    """The widgets of one page, in groups from *what* to *more*.

    Parameters
    ----------
    link : Link
        Records every control.
    groups : mapping of str to container
        ``"what"``, ``"how"``, ``"how much"``, ``"more"``.
    """

    def __init__(self, link: Link, groups: Mapping[str, DeltaGenerator]) -> None:
        self._link = link
        self._groups = groups
        self._opened: set[str] = set()
        self._problems: list[InputError] = []

    def ask(
        self,
        key: str,
        default: Any,
        *,
        label: str,
        help: str,
        minimum: float | None = None,
        maximum: float | None = None,
        options: Options | None = None,
        where: str | None = None,
    ) -> Any:
        """Draw one control and return its value; its kind is the type of ``default``.

        Parameters
        ----------
        key : str
            Name of the parameter in the link.
        default : bool, int, float or str
            Value at first.
        label, help : str
            What the form shows.
        minimum, maximum : float, optional
            Range of a number.
        options : tuple of str, mapping or callable, optional
            Allowed names of a text, as `sdqviz.choice.field` takes them.
        where : str, optional
            The group; by default *how much* for numbers and *how* for the rest.
        """
        return self._draw(key, default, type(default), Spec(label, help, minimum, maximum, options), where)

    def choose(
        self,
        cls: type[C],
        *,
        prefix: str = "",
        where: Mapping[str, str] | None = None,
        limits: Mapping[str, tuple[float, float]] | None = None,
        fixed: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        unless: Mapping[str, Callable[[Mapping[str, Any]], bool]] | None = None,
        moves: Mapping[str, Callable[[], None]] | None = None,
    ) -> C:
        """Draw the form of a choice and return the choice.

        Parameters
        ----------
        cls : type
            The choice class.
        prefix : str
            Put before each field's name to make its parameter in the link.
        where : mapping, optional
            Group by field, where it differs from the rule (numbers: *how much*; names and switches:
            *how*; advanced fields: *more*).
        limits : mapping, optional
            Narrower (minimum, maximum) by field: what this page can show.
        fixed : mapping, optional
            Fields that are not asked for, with their values.
        defaults : mapping, optional
            Other defaults for this page.
        unless : mapping, optional
            By field, a function of the values so far: the control is left out when it returns True.
        moves : mapping, optional
            By field, a callback for when the user changes it.

        Raises
        ------
        InputError
            If the fields do not go together; the page shows the sentence.
        """
        where, limits, fixed, defaults = where or {}, limits or {}, dict(fixed or {}), defaults or {}
        unless, moves = unless or {}, moves or {}
        values: dict[str, Any] = {}
        kinds = cls.kinds()
        for name, spec in cls.specs().items():
            kind = kinds[name]
            if name in fixed:
                values[name] = fixed[name]
            elif name in unless and unless[name](values):
                continue
            elif spec.minimum is not None and spec.minimum == spec.maximum:
                values[name] = kind(spec.minimum)
            elif kind in (bool, int, float, str):  # values by layer are asked for by the page itself
                low, high = limits.get(name, (spec.minimum, spec.maximum))
                narrowed = dataclasses.replace(spec, minimum=low, maximum=high)
                default = defaults.get(name, cls.defaults()[name])
                values[name] = self._draw(
                    prefix + name, default, kind, narrowed, where.get(name), on_change=moves.get(name)
                )
        try:
            return cls(**values)
        except InputError as error:
            error.remedy = {prefix + name: value for name, value in error.remedy.items()}
            raise

    def pick(
        self, registry: Registry[C], key: str, default: str, *, where: str = "what", label: str = "", **form: Any
    ) -> C:
        """Draw a box with the names of a registry and the form of the chosen class; return the choice.

        Parameters
        ----------
        registry : Registry
            Where the names come from.
        key : str
            Name of the parameter in the link.
        default : str
            Name chosen at first.
        where : str
            Group of the box.
        label : str
            Label of the box; by default the parameter's name.
        **form
            Passed to `choose`; ``fixed``, ``limits`` and ``defaults`` for fields the class lacks are ignored.
        """
        spec = Spec(label or key.capitalize(), "Each has its own form below.", options=registry.titles)
        cls = registry[self._draw(key, default, str, spec, where)]
        fields = cls.specs()
        for part in ("fixed", "limits", "defaults"):
            form[part] = {name: value for name, value in (form.get(part) or {}).items() if name in fields}
        return self.attempt(lambda: self.choose(cls, **form), cls)

    def attempt(self, function: Callable[[], R], otherwise: Callable[[], R]) -> R:
        """Call ``function``; if it raises an `InputError`, keep it for `check` and return ``otherwise()``.

        So the rest of the form is still drawn, and no control forgets its value while another is wrong.
        """
        try:
            return function()
        except InputError as error:
            self._problems.append(error)
            return otherwise()

    def check(self) -> None:
        """Raise the first problem of the form; to be called after the last control (`Page.compute` does).

        Raises
        ------
        InputError
            If a choice could not be made.
        """
        if self._problems:
            raise self._problems[0]

    def frame(
        self,
        *,
        key: str = "frame",
        default: str = "harmonic",
        limits: Mapping[str, tuple[float, float]] | None = None,
        dimension: int | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> FrameChoice:
        """Draw the box of frame families and the form of the chosen one; return the choice.

        When the family or the dimension is changed, N moves to the next size that family has.

        Parameters
        ----------
        key, default : str
            Name of the parameter, and the family chosen at first.
        limits : mapping, optional
            What this page can show of ``dimension`` and ``size``.
        dimension : int, optional
            d, where something else decides it; otherwise it is asked for.
        defaults : mapping, optional
            Other defaults for this page.
        """
        spec = Spec("Frame", "The vectors whose inner products with x are quantized.", options=FRAMES.titles)
        move = functools.partial(_fit_size, key, dimension)
        cls = FRAMES[self._draw(key, default, str, spec, "what", on_change=move)]
        fixed: dict[str, Any] = {}
        if dimension is not None:
            fixed["dimension"] = dimension
            if st.session_state.get("_dimension", dimension) != dimension:  # the vector has changed its length
                _fit_size(key, dimension)
        st.session_state["_dimension"] = dimension
        if "vectors" in cls.specs():
            rows = self._draw("vectors", _as_text(cls.defaults()["vectors"]), str, cls.specs()["vectors"], "what")
            fixed["vectors"] = self.attempt(lambda: parse_rows(rows), lambda: cls.defaults()["vectors"])
            fixed |= {"size": len(fixed["vectors"]), "dimension": len(fixed["vectors"][0])}

        def chosen() -> FrameChoice:
            try:
                return self.choose(cls, limits=limits, fixed=fixed, defaults=defaults, moves={"dimension": move})
            except InputError as error:
                error.remedy = error.remedy or fitting(cls, self._link.values, dimension)
                raise

        return self.attempt(chosen, cls)

    # -- drawing -------------------------------------------------------------------------------------

    def group(self, name: str) -> DeltaGenerator:
        """Return the container of a group, with its heading once it is used."""
        box = self._groups[name]
        if name not in self._opened and name != "more":
            box.caption(name.capitalize())
        self._opened.add(name)
        return box

    def _draw(
        self,
        key: str,
        default: Any,
        kind: type,
        spec: Spec,
        where: str | None,
        *,
        on_change: Callable[[], None] | None = None,
    ) -> Any:
        names = spec.option_names()
        usual = "how" if kind in (bool, str) else "how much"
        box = self.group(where or ("more" if spec.advanced else usual))
        default = nearest(default, spec)
        self._link.take(key, kind, spec)
        if names is not None:
            self._link.follow(key, spec, default)
        if key in st.session_state:
            self._mend(key, default, kind, spec)
        given: dict[str, Any] = {"key": key, "help": spec.help, "on_change": on_change}
        if names is None:
            given["bind"] = "query-params"
        value: Any
        if kind is bool:
            value = box.toggle(spec.label, value=default, **given)
        elif names is not None:
            value = box.selectbox(spec.label, names, index=names.index(default), format_func=spec.words, **given)
            self._link.write(key, value, default)
        elif kind is str:
            value = box.text_area(spec.label, value=default, max_chars=LONGEST_TEXT, height=120, **given)
        else:
            value = self._number(box, key, default, kind, spec, given)
        self._link.declare(key, value, default, kind, spec)
        return value

    def _mend(self, key: str, default: Any, kind: type, spec: Spec) -> None:
        """Move a value that other choices have made impossible to the nearest one there is, and say so.

        A control of the same name that another choice has brought may hold no value, or one of another kind: then the
        default is taken without a word.
        """
        before = st.session_state[key]
        number = kind in (int, float)
        if before is None or (isinstance(before, int | float) and not isinstance(before, bool)) != number:
            if before is not None or default is not None:
                st.session_state[key] = default
            return
        near = nearest(kind(before), spec)
        if near != before:
            self._link.problems.append(
                f"{spec.label} was {before}, which does not go with the other choices; it is now {near}."
            )
        if near != before or type(near) is not type(before):
            st.session_state[key] = near

    def _number(
        self, box: DeltaGenerator, key: str, default: Any, kind: type, spec: Spec, given: dict[str, Any]
    ) -> Any:
        low = None if spec.minimum is None else kind(spec.minimum)
        high = None if spec.maximum is None else kind(spec.maximum)
        if low is not None and high is not None and low >= high:  # nothing to choose: said, and not asked
            box.text_input(spec.label, f"{low:g}", disabled=True, help=spec.help, key=f"_only {key}")
            return low
        typed = default is None or low is None or high is None or high - low > (1000 if kind is float else 10**7)
        if kind is float and low is not None and high is not None and not typed:
            typed = 0 < default - low < (high - low) / 200  # a slider's hundredth would step over it
        if typed or low is None or high is None:
            step = 1 if kind is int else None
            return box.number_input(
                spec.label,
                min_value=low,
                max_value=high,
                value=default,
                step=step,
                format=None if kind is int else "%.4g",
                placeholder="by rule" if default is None else None,
                **given,
            )
        if kind is float or high - low <= PLAIN_SLIDER:
            return box.slider(spec.label, low, high, default, **given)
        return self._wide(box, key, default, (low, high), spec, given)

    @staticmethod
    def _wide(
        box: DeltaGenerator, key: str, default: int, limits: tuple[int, int], spec: Spec, given: dict[str, Any]
    ) -> int:
        """Draw a logarithmic slider beside a box for the exact number; the box is in the link."""
        slide, exact = box.columns([5, 3], vertical_alignment="bottom", gap="small")
        value = int(
            exact.number_input(
                f"{spec.label}, exactly", *limits, value=default, step=1, label_visibility="collapsed", **given
            )
        )
        options = sorted({value, *step_values(*limits)})  # a typed number is on the slider too, never its neighbour
        companion = f"_slider {key}"
        st.session_state[companion] = value
        slide.select_slider(
            spec.label,
            options,
            key=companion,
            help=f"{spec.help} {limits[0]} to {limits[1]:,}.",
            on_change=_follow,
            args=(key, companion, given["on_change"]),
        )
        return value


def _follow(key: str, companion: str, afterwards: Callable[[], None] | None) -> None:
    st.session_state[key] = st.session_state[companion]
    if afterwards is not None:
        afterwards()


def _fit_size(key: str, dimension: int | None) -> None:
    """Move N to one the chosen family has, so that turning to another family shows it at once."""
    cls = FRAMES[st.session_state[key]]
    size = st.session_state.get("size")
    if size is None:
        return
    spec = cls.specs()["dimension"]
    if spec.minimum == spec.maximum and spec.minimum is not None:
        dimension = int(spec.minimum)
    wanted = st.session_state.get("dimension", 2) if dimension is None else dimension
    for at_least in (size, 1):  # a larger one, or else the smallest there is
        try:
            st.session_state["size"] = cls.admissible_size(wanted, at_least)
            return
        except InputError:
            continue


def _as_text(rows: Iterable[Iterable[float]]) -> str:
    return "\n".join(", ".join(f"{value:.12g}" for value in row) for row in rows)
