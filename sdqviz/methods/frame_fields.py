"""The fields of frame quantization, and which frame they stand for."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sdqviz.choice import PerLayer, field, field_of
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.method import MethodChoice
from sdqviz.methods.round_to_nearest import RoundToNearest
from sdqviz.path_following.beam import MOST_PATHS
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.filter import HIGHEST_ORDER

SHORT, SHORT_FACTOR = 16, {1: 3.0, 2: 1.6}
"""Length up to which vectors are too short to spread, and what multiplies their redundancy at order 0, by bits."""

STEP_RULES = {
    "norm-global": "Norms, all layers",
    "norm-layer": "Norms, each layer",
    "range-layer": "Range, each layer",
    "range-column": "Range, each column",
    "fitted": "Fitted to the error",
}
DEFAULT_REDUNDANCY = 4.0


@dataclasses.dataclass(frozen=True)
class FrameFields(MethodChoice):
    """What is chosen: the frame, the order of the walk, ΣΔ, the step, and other values by layer."""

    frame: str = field(
        "harmonic",
        label="Frame",
        help="The family of vectors whose inner products with each weight column are quantized.",
        options=FRAMES.titles,
    )
    size: int | None = field(
        None,
        label="Frame size N",
        help="The same N in every layer, as in the paper. N levels are stored for each column.",
        minimum=1,
        maximum=1 << 20,
    )
    redundancy: float | None = field(
        None,
        label="Redundancy N/d",
        help="N as a multiple of each layer's own dimension d; at 1 bit this is the bits per weight, scales apart.",
        minimum=1.0,
        maximum=1024.0,
    )
    bits: int = field(
        1, label="Bits per level", help="2^bits levels in the midrise alphabet.", minimum=1, maximum=MAXIMUM_BITS
    )
    step_rule: str = field(
        "range-layer",
        label="Step rule",
        help="How δ is chosen: from the largest column norm (the paper's condition) over all layers or per layer; "
        "from the largest frame coefficient per layer or per column (one stored scale each); or fitted, per column "
        "the one with the smallest error: values then leave the range, and the a-priori bound lapses.",
        options=STEP_RULES,
    )
    step: float | None = field(
        None,
        label="Step δ by hand",
        help="Overrides the rule. Too small a δ overloads the quantizer; that is counted and shown.",
        minimum=1e-12,
        maximum=1e12,
        advanced=True,
    )
    signs: bool = field(
        False,
        label="Random signs",
        help="Change the signs of the vectors' coordinates at random (from the seed): the coefficients then come out "
        "alike whatever the weights, and every bound stays.",
    )
    order: int = field(
        1,
        label="Order of ΣΔ",
        help="0 rounds each coefficient by itself (frame rounding); 1 feeds each error to the next; r feeds back r-th "
        "differences, which needs r bits with the greedy filter.",
        minimum=0,
        maximum=HIGHEST_ORDER,
    )
    filter: str = field(
        "greedy",
        label="Filter",
        help="How errors are fed back: the plain r-th difference, or few taps far apart, which one bit bears.",
        options=FILTERS.titles,
        advanced=True,
    )
    dual: str = field(
        "canonical",
        label="Dual",
        help="How levels become weights again: by the frame itself, or by a left inverse that damps shaped noise more.",
        options=DUALS.titles,
        advanced=True,
    )
    paths: int = field(
        8,
        label="Paths of the beam",
        help="Of order 0 with N above d: so many ways through the coefficients are followed, and the one with the "
        "smallest error is taken where it beats plain rounding. 1 for rounding alone.",
        minimum=1,
        maximum=MOST_PATHS,
        advanced=True,
    )
    step_bits: str = field_of(PathFollowing, "step_bits")
    permutation: str = field(
        "identity",
        label="Permutation",
        help="The order in which ΣΔ walks through the frame vectors.",
        options=PERMUTATIONS.titles,
        advanced=True,
    )
    axis: str = field(
        "columns",
        label="Quantize",
        help="Columns (as the paper does; d is the number of outputs) or rows (d is the number of inputs).",
        options={"columns": "Columns", "rows": "Rows"},
        advanced=True,
    )
    biases: str = field_of(
        RoundToNearest,
        "biases",
        help="Kept in float (32 bits each, counted), or quantized together with the weights.",
    )
    bits_by_layer: PerLayer = field_of(PathFollowing, "bits_by_layer")
    size_by_layer: PerLayer = field(
        (), label="N by layer", help="Other frame sizes for layers by name.", minimum=1, maximum=1 << 20, advanced=True
    )

    def check(self) -> None:
        """Refuse N given twice."""
        if self.size is not None and self.redundancy is not None:
            raise InputError(
                f"give either size or redundancy, got both: size {self.size}, redundancy {self.redundancy:g}"
            )

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long the transforms and walks take, and finding an order unless it is the written one."""
        sizes = dict(self.size_by_layer)
        total = 0.0
        for shape in shapes:
            outputs, inputs = shape[0], math.prod(shape[1:])
            dimension, vectors = (outputs, inputs) if self.axis == "columns" else (inputs, outputs)
            redundancy = DEFAULT_REDUNDANCY if self.redundancy is None else self.redundancy
            size = self.size if self.size is not None else redundancy * dimension
            size = max([size, *sizes.values()])  # which layer is meant does not matter for a rough figure
            total += 2.5e-8 * size * vectors
            if self.order == 0 and self.paths > 1 and size > dimension:  # a beam; the Gram matrix leaves the cache
                total += self.paths / 8 * (1.5e-6 + 2.2e-9 * size) * size * vectors
            if self.permutation != "identity":
                total += 1e-9 * size**2 * dimension
        return total

    def frame_choice(self, dimension: int, size: float | None, bits: int) -> FrameChoice:
        """Return the frame's choice for vectors of length ``dimension``; ``size`` is the layer's own N, if any."""
        odd_half_frequency = self.frame == "half-frequency" and dimension % 2 == 1
        family = FRAMES["harmonic" if odd_half_frequency else self.frame]
        chosen = size if size is not None else self.size
        if chosen is None:
            redundancy = DEFAULT_REDUNDANCY if self.redundancy is None else self.redundancy
            if self.order == 0 and dimension <= SHORT:
                with contextlib.suppress(InputError):  # a family without frames that large keeps to those it has
                    larger = int(np.ceil(SHORT_FACTOR[min(bits, 2)] * redundancy * dimension - 1e-9))
                    return family(dimension=dimension, size=family.admissible_size(dimension, larger))
            chosen = family.admissible_size(dimension, int(np.ceil(redundancy * dimension - 1e-9)))
            if self.order == 1 and family.sums_to_zero(dimension):
                chosen = family.admissible_size(dimension, chosen + chosen % 2)
        return family(dimension=dimension, size=int(chosen))
