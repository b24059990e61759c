"""The form of the Network page: network, method with all its fields, those by layer, what is looked into."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from sdqviz.choice import Choice, PerLayer, Spec
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.explore import spread, what_if
from sdqviz.explore.network import link
from sdqviz.explore.what_if import LayerOutline
from sdqviz.frames import FRAMES
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.catalogue.torchvision_zoo import TorchvisionChoice
from sdqviz.networks.own_weights import OwnNetwork
from sdqviz.registry import Registry
from sdqviz.report import Report
from sdqviz.ui import own
from sdqviz.ui.screen import Page

ALTERNATIVES = (("redundancy", "size"),)
"""Fields of which a method takes one: a box says which, and only that one is asked for."""


LIMITS = {"frame": {"size": (1, 16384), "redundancy": (1.0, 64.0)}}
"""What the page offers of a method's fields; the engine refuses by memory."""


OPEN = {"frame": {"size": 1000, "redundancy": 3.0}}
"""Values at first of fields that a method leaves open."""


BEST = {
    "frame": {
        "frame": "half-frequency", "redundancy": 1.0, "bits": 2, "step_rule": "range-column", "signs": True, "order": 0,
        "step_bits": "16",
    }
}  # fmt: skip
"""What is shown where a link says nothing of the method: the best setting at few bits whose theorem is in force."""


MOST_INPUTS = 4096
"""The most calibration inputs."""


LAYERS_LISTED = 60
"""The most layers with a line of their own in the form."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """Everything the form says.

    Attributes
    ----------
    question : Question
        What is to be computed.
    layer, vector : str
        What is looked into.
    ladder : bool
        Whether the a-posteriori bounds are wanted.
    seeds : int
        How many seeds are to be run; 1 for methods that draw no levels.
    """

    question: Question
    layer: str
    vector: str
    ladder: bool
    seeds: int = 1

    def layer_of(self, report: Report) -> str:
        """Return the layer to look into; the first where the numbers are still those of another network."""
        names = [row.name for row in report.layers]
        return self.layer if self.layer in names else names[0]


def ask(page: Page) -> Asked | None:
    """Draw the form: network, method with all its fields, those by layer, calibration inputs, what is looked into.

    Returns
    -------
    Asked or None
        None while a file that is asked for is missing, or where the choices do not go together (`Page.check` says
        why).
    """
    network = page.attempt(lambda: own.choose(page), lambda: None)
    layers = () if network is None else outline(network)
    _method(page, layers)
    ladder = False
    if not isinstance(network, OwnNetwork) or not network.alone:
        _calibration(page, network)
        ladder = page.ask(
            "ladder",
            False,
            label="Ladder of bounds P0–P4",
            help="Bounds on the output that use more and more of what was measured. Takes a few seconds; only for "
            "networks the theorems speak of.",
            where="how",
        )
    vector = page.ask(
        "vector",
        "worst",
        label="Vector looked into",
        help="The column or neuron of the layer with the worst, the median or the best error.",
        options={"worst": "With the worst error", "median": "With the median error", "best": "With the best error"},
        where="more",
    )
    if network is None:  # the form keeps what was chosen until there is a network
        return None
    names = tuple(layer.name for layer in layers)
    layer = page.ask(
        "layer",
        names[0],
        label="Layer looked into",
        help="Clicking a bar of the first plot chooses its layer too.",
        options=names,
        where="what",
    )
    question = page.attempt(lambda: link.question(page.choices, network), lambda: None)
    if question is None:
        return None
    seeds = 1
    if question.method.stochastic:
        seeds = page.ask(
            "seeds",
            1,
            label="Seeds",
            help="This method draws its levels at random. With more than one seed the same run is made with each, from "
            "the seed under More upwards, and accuracy and error are shown with their spread. Each takes as long as "
            "the run itself.",
            minimum=1,
            maximum=spread.MOST_SEEDS,
            where="how much",
        )
    return Asked(question, layer, vector, ladder, seeds)


def outline(network: NetworkChoice) -> Sequence[LayerOutline]:
    """Return the layers of a network, of the user's own or of anybody's."""
    if isinstance(network, OwnNetwork):
        return what_if.outline(network, own.kept(network))
    with st.spinner("Building the network"):
        return link.outline(network)


def _calibration(page: Page, network: NetworkChoice | None) -> None:
    """Ask on how many inputs errors are measured, as far as there are any."""
    if isinstance(network, TorchvisionChoice):  # it comes without data: errors are measured on an image of noise
        return
    given = None if network is None else own.network(network)
    pool = MOST_INPUTS if given is None or given.dataset is None else given.dataset.calibration_size
    most = min(MOST_INPUTS, pool)
    page.ask(
        "calibration",
        min(link.DEFAULTS["calibration"], most),
        label="Calibration inputs",
        help="On how many training images errors are measured (and collected, by methods that need data). The accuracy "
        "is always that of all test images.",
        minimum=min(16, most),
        maximum=most,
    )


def _box(page: Page, registry: Registry[Any], key: str, default: str, label: str) -> type[Any]:
    name = page.ask(
        key, default, label=label, help="Each has its own form below.", options=registry.titles(), where="what"
    )
    return registry[name]


def _method(page: Page, layers: Sequence[LayerOutline]) -> None:
    """Draw the box of methods and the form of the chosen one."""
    cls = _box(page, METHODS, "method", link.DEFAULTS["method"], "Method")
    specs = cls.specs()
    left_out = set()
    for fields in ALTERNATIVES:
        if set(fields) <= set(specs):
            told = "\n".join(f"- *{specs[name].label}*: {specs[name].help}" for name in fields)
            linked = [name for name in fields if name in page.link.incoming]  # links of 0.2 gave N alone
            usual = linked[0] if len(linked) == 1 else fields[0]
            given = page.ask(
                "size_as",
                usual,
                label="Give N as",
                help=told,
                options={name: specs[name].label for name in fields},
                where="how much",
            )
            left_out |= set(fields) - {given}
    named = any(name in specs for name in page.link.incoming)  # links of 0.2 name all fields there were then
    starting = OPEN.get(cls.name, {}) | ({} if named else BEST.get(cls.name, {}))
    starting = {name: value for name, value in starting.items() if name not in left_out}
    form = functools.partial(
        page.choose,
        cls,
        limits=LIMITS.get(cls.name, {}),
        defaults=starting,
        unless={name: lambda _values: True for name in left_out},
        moves={"frame": functools.partial(_fit_size, layers)},
    )
    page.attempt(form, lambda: None)  # where its fields do not go together, the rest of the form is drawn all the same
    _by_layer(page, cls, layers)


def _fit_size(layers: Sequence[LayerOutline]) -> None:
    """Move N to one the newly chosen family has for every layer, so that its result shows at once."""
    st.session_state.update(fitting(layers, {name: st.session_state.get(name) for name in ("frame", "axis", "size")}))


def fitting(layers: Sequence[LayerOutline], values: Mapping[str, Any]) -> dict[str, int]:
    """Return the smallest N, at least the one given, that the family of frames has for every layer; {} if none."""
    length = values.get("size")
    if length is None or values.get("frame") not in FRAMES:
        return {}
    family, rows = FRAMES[values["frame"]], values.get("axis") == "rows"
    try:
        for layer in layers:
            dimension = math.prod(layer.shape[1:]) if rows else layer.shape[0]
            length = max(length, family.admissible_size(dimension, length))
    except InputError:
        return {}  # the form says what is wrong
    return {"size": int(length)} if length <= LIMITS["frame"]["size"][1] else {}


def _by_layer(page: Page, cls: type[Choice], layers: Sequence[LayerOutline]) -> None:
    """Draw the fields that may differ by layer, one line a layer; an empty one is as above."""
    fields = [name for name, kind in cls.kinds().items() if kind == PerLayer]
    if not fields:
        return
    box = page.group("how much").expander("By layer")
    if len(layers) > LAYERS_LISTED:
        box.caption(f"The first {LAYERS_LISTED} of {len(layers)} layers.")
    for layer in layers[:LAYERS_LISTED]:
        box.caption(f"{layer.name}, {' × '.join(map(str, layer.shape))}")
        for field, column in zip(fields, box.columns(len(fields)), strict=True):
            _layer_value(page, column, f"{field}.{layer.name}", cls.specs()[field], layer.name)


def _layer_value(page: Page, column: Any, key: str, spec: Spec, layer: str) -> None:
    low, high = spec.minimum, spec.maximum
    if key.startswith("size") and high is not None:
        high = min(high, LIMITS["frame"]["size"][1])
    kind = int if isinstance(low, int) and isinstance(high, int) else float
    value = column.number_input(
        spec.label, min_value=low, max_value=high, value=None, step=1 if kind is int else None, key=key,
        placeholder="as above", help=f"{spec.help} Here: {layer}.", bind="query-params",
    )  # fmt: skip
    page.link.declare(key, value, None, kind, Spec(spec.label, spec.help, low, high))
