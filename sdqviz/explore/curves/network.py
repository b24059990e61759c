"""Bounds on a whole network under frame quantization: before anything is run, and after measuring more and more."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sdqviz.bounds.statement import Bound
from sdqviz.choice import field, field_of
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.point import A_POSTERIORI, Axis, Point, Rate, promises
from sdqviz.explore.curves.vector import UnitVector
from sdqviz.explore.curves.walk import BITS, OverFrame, frame_rate, walk_facts
from sdqviz.explore.wording import begun
from sdqviz.methods import METHODS, frame_fields
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.recent import Recent

if TYPE_CHECKING:  # the choice must not load torch
    from sdqviz.compression.compress import Compression
    from sdqviz.methods.method import CompressedLayer, MethodChoice
    from sdqviz.networks.network import Network

THEOREMS = ("mnist-fnn", "mnist-residual")
"""Networks of the kinds the theorems speak of."""

HARMONIC = "lemma-5-1-harmonic-rounded"
"""The bound on a layer that (14) carries through a chain of layers."""

LAYER_FORMS = {
    "layer-spectral": "through all layers, spectral form",
    "layer-variation": "through all layers, frame variation",
    HARMONIC: "through all layers, harmonic frames",
    "lemma-5-1-rounded": "through all layers, short walks (Lemma 5.1)",
}
"""Bounds on a layer that are carried through the network."""

STEP_RULES = {
    **{name: words for name, words in frame_fields.STEP_RULES.items() if name != "fitted"},
    "by-hand": "By hand",
}
ROUNDING = "plain rounding, as many bits per weight"


@SUBJECTS.register
@dataclasses.dataclass(frozen=True)
class WholeNetwork(OverFrame):
    """A trained network whose layers are all quantized over frames; one run a training seed."""

    name = "network"
    title = "A whole network under frame quantization"
    axes: ClassVar[Mapping[str, Axis]] = {
        "size": Axis("size", "frame size N in every layer", 320, 2048, 257, 7000, parity=True),
        "bits": BITS,
        "step": Axis("step", "step δ", 0.01, 1.0, 1e-4, 100.0, whole=False, fixed=(("step_rule", "by-hand"),)),
    }
    error: ClassVar[str] = "max ‖f(x) − f_Q(x)‖"

    network: str = field(
        "mnist-fnn",
        label="Network",
        help="Shipped networks of the kinds the theorems speak of: layers in a chain, or residual blocks.",
        options=lambda: {name: NETWORKS[name].title for name in THEOREMS},
    )
    nets: int = field(1, label="Training runs", help="Networks trained with seeds 0, 1 and 2.", minimum=1, maximum=3)
    inputs: int = field(
        32,
        label="Inputs",
        help="Images x over which the largest error is taken, and for which the a-posteriori bounds are stated.",
        minimum=4,
        maximum=256,
    )
    size: int = field_of(OverFrame, "size", 1024)
    bits: int = field_of(OverFrame, "bits", 1)
    step_rule: str = field(
        "range-layer",
        label="Step rule",
        help="From the largest coefficient of each layer or column, from the largest column norm of each layer or of "
        "all (the paper's rule), or by hand.",
        options=STEP_RULES,
    )
    step: float = field_of(UnitVector, "step", help="The same in every layer.")

    def estimated_seconds(self) -> float:
        """Return roughly the time of compressing, running and bounding every network."""
        return self.nets * (0.12 + 1.5e-4 * self.size + 0.005 * self.inputs)

    def measure(self, seed: int, should_stop: ShouldStop | None = None) -> Point:
        """Compress every network, run it on the inputs and evaluate all bounds."""
        from sdqviz.compression.ladder import a_posteriori

        before: list[list[Bound]] = []
        after: list[list[Bound]] = []
        measured, rounded, bits = [], [], []
        facts: dict[str, float] = {}
        for net in range(self.nets):
            stop_if(should_stop)
            network, inputs = _network(self.network, net, self.inputs, seed)
            question = Question(NETWORKS[self.network](seed=net), self._method(), self.inputs, seed)
            result = question.compress(network, None, should_stop, inputs)
            measured.append(result.report.output_error)
            bits.append(result.report.bits_per_weight)
            before.append(_a_priori(result))
            stop_if(should_stop)
            rungs = a_posteriori(network, result.network, result.layers, inputs, None).rungs
            after.append([rung.bound for rung in rungs])
            stop_if(should_stop)
            afforded = int(min(max(result.report.bits_per_weight, 1), MAXIMUM_BITS // 2))
            plain = METHODS.from_dict({"name": "round-to-nearest", "bits": afforded})
            beside = dataclasses.replace(question, method=plain).compress(network, None, should_stop, inputs)
            rounded.append(beside.report.output_error)
            facts = facts or _facts(result)
        return Point(
            np.array(measured),
            {ROUNDING: np.array(rounded)},
            (*promises(before), *promises(after, A_POSTERIORI)),
            float(np.mean(bits)),
            facts,
        )

    def _method(self) -> MethodChoice:
        given = {"frame": self.frame, "permutation": self.permutation, "size": self.size, "bits": self.bits}
        rule = {"step": self.step} if self.step_rule == "by-hand" else {"step_rule": self.step_rule}
        return METHODS.from_dict({"name": "frame", **given, **rule})

    def rate(self, axis: str, points: Sequence[Point]) -> Rate | None:
        """Return the exponent that holds for small errors, where products of the layers' bounds do not matter."""
        found = frame_rate(axis, int(points[0].facts["dimension"]), points)
        if found is None or found.exponent == 0:
            return found
        return Rate(found.exponent, f"{found.because}; once errors are small, before that their products count too")


_networks: Recent[tuple[str, int, int, int], tuple[Any, Any]] = Recent(6)


def _network(name: str, net: int, inputs: int, seed: int) -> tuple[Network, Any]:
    """Return a network without its test set, so that nothing is tested, and images it is to be run on."""
    found = _networks.get((name, net, inputs, seed))
    if found is None:
        loaded = NETWORKS[name](seed=net).load()
        if loaded.dataset is None:
            raise InputError(f"network {name} must come with images, got none")
        images = loaded.dataset.calibration(inputs, seed)
        bare = loaded.with_data(None)
        found = _networks.put((name, net, inputs, seed), (bare, images))
    return found


def _a_priori(result: Compression) -> list[Bound]:
    """Carry each form of the layers' bounds through the network; and the closed forms of the paper."""
    from sdqviz.bounds.closed_forms import corollary_5_4, equation_14, theorem_5_6
    from sdqviz.bounds.network import Dense, network_bound
    from sdqviz.compression.guarantee import stages

    structure = result.original.structure
    norms = np.linalg.norm(np.asarray(result.inputs, float).reshape(len(result.inputs), -1), axis=1)
    spectral = stages(structure, [_only(item, "layer-spectral") for item in result.layers])
    dense = [stage for stage in spectral if isinstance(stage, Dense)]
    chain = len(dense) == len(spectral)
    found = []
    for name, title in LAYER_FORMS.items():
        if chain and name == HARMONIC:  # the paper has a closed form of this one
            by_name = {item.layer.name: item for item in result.layers}
            layers = [_only(by_name[layer], name).bounds[0] for layer in structure.layer_names]
            found.append(equation_14(dense, layers, norms))
            continue
        through = stages(structure, [_only(item, name) for item in result.layers])
        one = network_bound(through, norms)
        found.append(dataclasses.replace(one, name=f"network-{name}", title=begun(title)))
    found.append(corollary_5_4(spectral, norms) if chain else theorem_5_6(spectral, norms))
    return found


def _only(item: CompressedLayer, name: str) -> CompressedLayer:
    """Return the layer with one of its bounds alone; why that one fails, if it does, is told by layer."""
    return dataclasses.replace(item, bounds=tuple(one for one in item.bounds if one.name == name))


def _facts(result: Compression) -> dict[str, float]:
    """Return what the rates need: limits that the walks of all layers keep to, and the largest dimension."""
    from sdqviz.methods.frame_states import walk_states

    walks = [walk_states(item, slice(0, 1))[0] for item in result.layers]
    facts = [walk_facts(one) for one in walks]
    return {
        **{name: min(one[name] for one in facts) for name in ("tight", "harmonic", "short")},
        "dimension": float(max(one.dimension for one in walks)),
        "step": max(layer.step for layer in result.report.layers),
    }
