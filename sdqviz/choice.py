"""Choices: small frozen dataclasses whose fields carry their own label, range and help.

The widget on a page, the check of a value, its JSON form and the bad-value tests all read the same
field metadata, so a range is written once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from sdqviz.error import InputError

PerLayer = tuple[tuple[str, float], ...]
"""Values by layer name, as a hashable tuple of pairs; a mapping is accepted wherever one is expected."""


Options = tuple[str, ...] | Mapping[str, str] | Callable[[], Iterable[str]]
"""Names, names with their words, or a function that returns either."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a form and a check need to know of one field."""

    label: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    options: Options | None = None
    advanced: bool = False
    """Shown under "more" on a form."""

    def option_names(self) -> tuple[str, ...] | None:
        """Return the allowed names, resolved now (a registry may be behind them)."""
        if self.options is None:
            return None
        return tuple(self.options() if callable(self.options) else self.options)

    def words(self, name: str) -> str:
        """Return what a form calls an option: its words where the options are a mapping, else the name itself."""
        given = self.options() if callable(self.options) else self.options
        return given.get(name, name) if isinstance(given, Mapping) else name


def field(
    default: Any,
    *,
    label: str,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    options: Options | None = None,
    advanced: bool = False,
) -> Any:
    """Declare a field of a choice.

    Parameters
    ----------
    default
        Value shown at first; it must satisfy the range.
    label, help : str
        What the form shows.
    minimum, maximum : float, optional
        Allowed closed range of a number.
    options : tuple of str, mapping or callable, optional
        Allowed names; with what a form calls each, if a mapping; or a function returning either (evaluated late, so
        registries stay lazy).
    advanced : bool
        Whether the field belongs under "more".
    """
    spec = Spec(label, help, minimum, maximum, options, advanced)
    return dataclasses.field(default=default, metadata={"spec": spec})


def field_of(other: type[Choice], name: str, default: Any = dataclasses.MISSING, **changed: Any) -> Any:
    """Declare a field with the label, range and help of another choice's, but for what is given.

    Parameters
    ----------
    other, name
        The choice and its field.
    default
        Value shown at first, if not the other's.
    **changed
        What differs, named as for `field`.
    """
    if default is dataclasses.MISSING:
        default = other.defaults()[name]
    return dataclasses.field(default=default, metadata={"spec": dataclasses.replace(other.specs()[name], **changed)})


def _fields(choice: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(choice)


@functools.cache
def _annotations(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """Split ``int | None`` into ``(int, True)``."""
    if isinstance(annotation, types.UnionType):
        rest = [a for a in typing.get_args(annotation) if a is not type(None)]
        return rest[0], True
    return annotation, False


def _as_number(name: str, value: Any, kind: type) -> Any:
    noun = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise InputError(f"{name} must be {noun}, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise InputError(f"{name} must be finite, got {value!r}")
    if kind is int:
        if number != int(number):
            raise InputError(f"{name} must be {noun}, got {value!r}")
        return int(value)
    return number


def _in_range(name: str, value: Any, spec: Spec) -> None:
    if spec.minimum is not None and spec.minimum == spec.maximum != value:
        raise InputError(f"{name} must be {spec.minimum:g}, got {value}")
    if spec.minimum is not None and value < spec.minimum:
        raise InputError(f"{name} must be at least {spec.minimum:g}, got {value}")
    if spec.maximum is not None and value > spec.maximum:
        raise InputError(f"{name} must be at most {spec.maximum:g}, got {value}")


def _as_pairs(name: str, value: Any, spec: Spec) -> PerLayer:
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        named = [(str(key), _as_number(f"{name}[{key!r}]", number, float)) for key, number in pairs]
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} must map layer names to numbers, got {value!r}") from None
    for key, number in named:
        _in_range(f"{name}[{key!r}]", number, spec)
    return tuple(sorted(named))


class Choice:
    """Base of every frozen dataclass that describes something to build or run.

    Subclasses set ``name`` (what the registry, links and JSON call it) and ``title`` (what people
    read), and declare their parameters with `field`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    short: ClassVar[str] = ""
    """For legends, where the title is long."""

    def __post_init__(self) -> None:
        """Check and normalise every field.

        Raises
        ------
        InputError
            Naming the field, what it needs and what it got.
        """
        for item in _fields(self):
            spec = item.metadata["spec"]
            value = getattr(self, item.name)
            kind, optional = _plain_type(_annotations(type(self))[item.name])  # type: ignore[arg-type]
            if value is None and optional:
                continue
            object.__setattr__(self, item.name, self._checked(item.name, value, kind, spec))
        self.check()

    @staticmethod
    def _checked(name: str, value: Any, kind: Any, spec: Spec) -> Any:
        if kind in (int, float):
            number = _as_number(name, value, kind)
            _in_range(name, number, spec)
            return number
        if kind is bool:
            if not isinstance(value, bool):
                raise InputError(f"{name} must be true or false, got {value!r}")
            return value
        if kind is str:
            names = spec.option_names()
            if not isinstance(value, str) or (names is not None and value not in names):
                raise InputError(f"{name} must be one of {', '.join(names or ('a text',))}, got {value!r}")
            return value
        if kind == PerLayer:
            return _as_pairs(name, value, spec)
        return value

    def check(self) -> None:
        """Check conditions that tie several fields together; subclasses may extend this."""

    @classmethod
    def specs(cls) -> dict[str, Spec]:
        """Return the specification of each field by name."""
        return {item.name: item.metadata["spec"] for item in _fields(cls)}

    @classmethod
    def kinds(cls) -> dict[str, Any]:
        """Return the type of each field by name, ``int`` for ``int | None``."""
        return {item.name: _plain_type(_annotations(cls)[item.name])[0] for item in _fields(cls)}  # type: ignore[arg-type]

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the default of each field by name."""
        return {item.name: item.default for item in _fields(cls)}

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the fields, ready for JSON; `from_dict` of the registry inverts it."""
        values: dict[str, Any] = {"name": self.name}
        for item in _fields(self):
            value = getattr(self, item.name)
            is_pairs = _annotations(type(self))[item.name] == PerLayer  # type: ignore[arg-type]
            values[item.name] = dict(value) if is_pairs else value
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Build the choice from its fields; unknown fields are refused by name."""
        unknown = sorted(set(values) - set(cls.specs()))
        if unknown:
            raise InputError(f"{cls.name} has no field {unknown[0]!r}; its fields are {', '.join(cls.specs())}")
        return cls(**values)
