"""From the link of the Network page to its question: stored results, and the lines that compute them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdqviz.choice import PerLayer
from sdqviz.compression.question import Question
from sdqviz.explore import preset, what_if
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.stored import picked
from sdqviz.explore.what_if import LayerOutline
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.own_weights import OwnNetwork

ADDRESS = "network"
"""The page's address."""


OWN, TORCHVISION = "own", "torchvision"
"""What the box of networks offers besides the catalogue: a file of one's own, and torchvision's names."""


DEFAULTS: dict[str, Any] = {"network": "mnist-fnn", "method": "frame", "calibration": 512, "seed": 0}
"""What the page shows at first, where it does not ask the choices' own defaults."""


def question(choices: Mapping[str, Any], network: NetworkChoice | None = None) -> Question:
    """Read the parameters of the page's link as a question.

    Parameters
    ----------
    choices : mapping
        The parameters.
    network : NetworkChoice, optional
        The network, where a link cannot name it: one of the user's own.

    Raises
    ------
    InputError
        If the choices do not go together.
    """
    name = str(choices.get("method", DEFAULTS["method"]))
    values = dict(choices)
    if values.get("network") == TORCHVISION:
        values["network"] = choices["torchvision"]
    for field, kind in METHODS[name].kinds().items():
        if kind == PerLayer:
            values[field] = by_layer(choices, field)
    return Question(
        network=network or picked(NETWORKS, values, "network", DEFAULTS["network"], "network_"),
        method=picked(METHODS, values, "method", name),
        calibration=int(choices.get("calibration", DEFAULTS["calibration"])),
        seed=int(choices.get("seed", DEFAULTS["seed"])),
    )


def by_layer(choices: Mapping[str, Any], field: str) -> PerLayer:
    """Collect the parameters ``field.layer`` of a link."""
    start = f"{field}."
    return tuple(
        (key.removeprefix(start), value)
        for key, value in choices.items()
        if key.startswith(start) and value is not None
    )


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers the page shows for the parameters of its link: the headlines, and the whole comparison."""
    found = what_if.answer(question(choices))
    report = found.comparison.report
    return {
        "bits_per_weight": report.bits_per_weight,
        "relative_error": report.relative_output_error,
        "accuracy_before": report.accuracy_before,
        "accuracy_after": report.accuracy_after,
        "bound_holds": report.output_bound_holds and report.output_error <= report.output_bound,
        "comparison": found.comparison.to_dict(),
    }


def outline(network: NetworkChoice) -> tuple[LayerOutline, ...]:
    """Return the layers of a network, from a stored result where there is one: that needs no torch."""
    for one in preset.of_page(ADDRESS).values():
        if one.choices.get("network", DEFAULTS["network"]) == network.name:
            rows = one.result["comparison"]["report"]["layers"]
            return tuple(LayerOutline(row["name"], row["kind"], tuple(row["shape"])) for row in rows)
    return what_if.outline(network)


def stored_comparison(asked: Question) -> Comparison | None:
    """Return the stored result of the preset that asks the same question, if there is one."""
    for one in preset.of_page(ADDRESS).values():
        if question(one.choices) == asked:
            return Comparison.from_dict(one.result["comparison"])
    return None


def code(asked: Question, found: Comparison) -> str:
    """Return the lines that compute the page's numbers, with the numbers."""
    report, beside = found.report, found.rounding
    method = {key: value for key, value in asked.method.to_dict().items() if value not in (None, {})}
    more = f"calibration={asked.calibration if report.inputs else None}, seed={asked.seed}"
    fields = ("bits", "alphabet", "scale", "step_bits", "fit")
    roundings = "\n".join(
        f"    {{{', '.join(f'{key!r}: {one.method[key]!r}' for key in fields if key in one.method)}}},"
        for one in beside.reports.values()
    )
    own = isinstance(asked.network, OwnNetwork)
    head = (
        "from pathlib import Path\n\nimport sdqviz as sq\nfrom sdqviz.networks import own_weights"
        if own
        else "import sdqviz as sq"
    )
    return f"""{head}

network = {asked.network.code if isinstance(asked.network, OwnNetwork) else f"{made(asked.network)}.load()"}
method = sq.METHODS[{method.pop("name")!r}]({_arguments(method)})
result = sq.compress(network, method, {more})

report = result.report
report.bits_per_weight         # {report.bits_per_weight:.6g}
report.accuracy_after          # {report.accuracy_after}
report.relative_output_error   # {report.relative_output_error:.6g}
report.output_bound            # {report.output_bound:.6g}
result.save("compressed.sdq")

# plain rounding beside it
for values in (
{roundings}
):
    beside = sq.compress(network, sq.METHODS["round-to-nearest"](**values), {more})
    print(beside.report.relative_output_error)
# {", ".join(f"{one.relative_output_error:.6g}" for one in beside.reports.values())}"""


def made(choice: NetworkChoice) -> str:
    """Return the Python expression of a network's choice."""
    fields = choice.to_dict()
    return f"sq.NETWORKS[{fields.pop('name')!r}]({_arguments(fields)})"


def _arguments(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())
