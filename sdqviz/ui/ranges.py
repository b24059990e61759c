"""What a control can show: the positions of a slider, the nearest value of a range, the sizes a family has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdqviz.choice import Spec
from sdqviz.error import InputError
from sdqviz.frames.frame import FrameChoice


def step_values(low: int, high: int) -> list[int]:
    """Return round values from ``low`` to ``high``, about five an octave, for a logarithmic slider.

    Examples
    --------
    >>> step_values(3, 40)
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20, 24, 28, 32, 40]
    """
    small = list(range(1, 13))
    octaves = [m << k for k in range(1, 30) for m in (7, 8, 10, 12)]
    return sorted({low, high, *(v for v in small + octaves if low < v < high)})


def nearest(value: Any, spec: Spec) -> Any:
    """Return the value a control may show that is nearest to one: within its range, or the first of its options.

    Examples
    --------
    >>> nearest(300, Spec("Inputs", "", 16, 40)), nearest("conv1", Spec("Layer", "", options=("hidden1", "hidden2")))
    (40, 'hidden1')
    """
    names = spec.option_names()
    if value is None or isinstance(value, bool):
        return value
    if names is not None:
        return value if value in names or not names else names[0]
    if isinstance(value, int | float):
        kind = type(value)
        if spec.minimum is not None and value < spec.minimum:
            return kind(spec.minimum)
        if spec.maximum is not None and value > spec.maximum:
            return kind(spec.maximum)
    return value


def fitting(cls: type[FrameChoice], values: Mapping[str, Any], dimension: int | None) -> dict[str, Any]:
    """Return a size, and if need be a dimension, that a family of frames has nearest above those asked for."""
    wanted = values.get("dimension", dimension) if dimension is None else dimension
    if wanted is None or "size" not in values:
        return {}
    for near in (wanted,) if dimension is not None else (wanted, wanted + 1):
        for at_least in (values["size"], 1):
            try:
                return {"dimension": near, "size": cls.admissible_size(near, at_least)}
            except InputError:
                continue
    return {}
