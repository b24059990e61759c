"""From the link of the Bounds page to its curve, and the lines that compute it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sdqviz.explore import preset
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.curve import Curve, Sweep
from sdqviz.explore.curves.point import Point
from sdqviz.explore.stored import picked

ADDRESS = "bounds"
"""The page's address."""


DEFAULTS: dict[str, Any] = {"subject": "vector", "points": 9, "parity": "even", "at": "last"}
"""What the page shows at first, where it does not ask the subject's own defaults."""


PLACES = ("first", "middle", "last")
"""Which point is taken apart."""


def asked(choices: Mapping[str, Any]) -> Sweep:
    """Read the parameters of the page's link as a sweep.

    Raises
    ------
    InputError
        If the choices do not go together.
    """
    subject = picked(SUBJECTS, choices, "subject", DEFAULTS["subject"])
    name = str(choices.get("sweep", next(iter(subject.axes))))
    axis = subject.axes.get(name)
    low, high = (choices.get(f"{name}_{end}") for end in ("from", "to"))
    return Sweep(
        subject,
        name,
        (axis.low if axis else 1) if low is None else low,
        (axis.high if axis else 2) if high is None else high,
        int(choices.get("points", DEFAULTS["points"])),
        str(choices.get("parity", DEFAULTS["parity"])),
        int(choices.get("seed", 0)),
    )


def build(choices: Mapping[str, Any]) -> Curve:
    """Run the sweep that the parameters of the page's link describe."""
    return asked(choices).run()


def stored_curve(sweep: Sweep) -> Curve | None:
    """Return the stored curve of the preset that asks for the same sweep, if there is one."""
    for one in preset.of_page(ADDRESS).values():
        if "curve" in one.result and asked(one.choices) == sweep:
            return Curve.of(sweep, [Point.from_dict(point) for point in one.result["curve"]])
    return None


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link; of a network all points too."""
    curve = build(choices)
    rate, least = curve.rate, curve.smallest
    found: dict[str, Any] = {
        "slope": curve.fit.slope,
        "margin": curve.fit.margin,
        "theory": "none" if rate is None else f"{rate.exponent:g}",
        "smallest_ratio": math.inf if least is None else least.ratio,
        "comparisons": curve.comparisons,
        "violations": len(curve.violations),
    }
    if curve.sweep.subject.name == "network":
        found["curve"] = [point.to_dict() for point in curve.points]
    return found


def place_of(curve: Curve, name: str) -> int:
    """Return the index of the point to take apart."""
    return {"first": 0, "middle": len(curve.x) // 2}.get(name, len(curve.x) - 1)


def code(curve: Curve) -> str:
    """Return the lines that compute the page's numbers."""
    sweep = curve.sweep
    values = sweep.subject.to_dict()
    name = values.pop("name")
    defaults = type(sweep.subject).defaults()
    given = ", ".join(f"{key}={value!r}" for key, value in values.items() if value != defaults[key])
    least = curve.smallest
    return f"""from sdqviz.explore.curves.curve import Sweep
from sdqviz.explore.curves import SUBJECTS

subject = SUBJECTS[{name!r}]({given})
sweep = Sweep(subject, {sweep.axis!r}, {sweep.low!r}, {sweep.high!r}, {sweep.count}, {sweep.parity!r}, {sweep.seed})
curve = sweep.run()

curve.fit.slope, curve.fit.margin    # {curve.fit.slope:.6g}, {curve.fit.margin:.6g}
curve.smallest                       # {"None" if least is None else f"ratio {least.ratio:.6g}"}
curve.comparisons                    # {curve.comparisons}
curve.violations                     # {curve.violations!r}
for line in curve.bounds:
    print(line.title, line.median, line.applies)"""
