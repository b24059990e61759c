"""What is set for a run of GETA: sparsity, bits, rates, and the stages with their periods."""

from __future__ import annotations

import dataclasses

from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.methods.geta.stages import Plan
from sdqviz.methods.method import MethodChoice


@dataclasses.dataclass(frozen=True)
class Settings(MethodChoice):
    """The fields of the method, which everything that trains is given; `sdqviz.methods.geta.Geta` acts on them."""

    sparsity: float = field(
        0.5,
        label="Units to remove",
        help="Share of all units (channels that go together) that is removed; each group keeps one at least.",
        minimum=0.01,
        maximum=0.99,
    )
    scope: str = field(
        "network",
        label="Least salient of",
        help="The whole network, as published, or each group loses this share. Where units differ in size, as heads "
        "and single channels do, the whole network gives up the small ones first.",
        options={"network": "The whole network", "group": "Each group"},
    )
    bits_low: int = field(3, label="Fewest bits b_l", help="No quantizer ends with fewer bits.", minimum=2, maximum=16)
    bits_high: int = field(
        8, label="Most bits b_u", help="Bits at the start; no quantizer ends with more.", minimum=2, maximum=16
    )
    bit_reduction: int = field(
        1,
        label="Reduction b_r",
        help="How much the upper limit of bits falls after each period of the projection. If it falls to b_l, every "
        "layer ends there and no bits are learned.",
        minimum=0,
        maximum=14,
    )
    optimizer: str = field(
        "adam",
        label="Optimizer",
        help="What makes the direction of each step.",
        options={"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"},
    )
    rate: float = field(
        1e-3, label="Learning rate α", help="Of weights, biases and normalisations.", minimum=1e-7, maximum=10.0
    )
    quantizer_rate: float = field(
        1e-3, label="Rate of quantizers", help="Learning rate of d, q_m and t.", minimum=0.0, maximum=1.0
    )
    batch: int = field(32, label="Batch", help="Inputs per step.", minimum=1, maximum=4096)
    warm_up_steps: int = field(
        50, label="Warm-up steps", help="Plain steps before anything is limited.", minimum=0, maximum=1_000_000
    )
    projection_steps: int = field(
        150, label="Projection steps", help="Steps in which bits are pushed down.", minimum=1, maximum=1_000_000
    )
    joint_steps: int = field(
        300, label="Joint steps", help="Steps in which units are forgotten.", minimum=1, maximum=1_000_000
    )
    cool_down_steps: int = field(
        900, label="Cool-down steps", help="Steps after bits and units are fixed.", minimum=0, maximum=1_000_000
    )
    projection_periods: int = field(
        3, label="Projection periods B", help="Reductions of the upper limit of bits.", minimum=1, maximum=1000
    )
    pruning_periods: int = field(
        4, label="Pruning periods P", help="In how many portions the units are marked.", minimum=1, maximum=1000
    )
    quantize_activations: bool = field(
        True, label="Quantize activations", help="Also what enters each layer is quantized, with its own bits."
    )
    activation_bits_low: int | None = field(
        None,
        label="Fewest bits of activations",
        help="Another lower limit for activations; none takes that of the weights.",
        minimum=2,
        maximum=16,
    )
    safeguard: bool = field(
        True,
        label="Safeguard",
        help="Lower γ where the published rule would go up: then every joint step is a descent.",
        advanced=True,
    )
    tau: float = field(
        0.1,
        label="Descent kept τ",
        help="With the safeguard, ⟨g, step⟩ ≤ −τα‖g‖² on the redundant units of every group.",
        minimum=0.001,
        maximum=0.999,
        advanced=True,
    )
    momentum: float = field(
        0.9, label="Momentum", help="Of sgd; the others do not use it.", minimum=0.0, maximum=0.999, advanced=True
    )
    decay: float = field(
        0.01,
        label="Weight decay",
        help="Decoupled, of adamw; the others do not use it.",
        minimum=0.0,
        maximum=1.0,
        advanced=True,
    )

    def check(self) -> None:
        """Check what ties fields together: the range of bits, and that no stage is shorter than its periods."""
        if self.bits_low > self.bits_high:
            raise InputError(
                f"bits_low must be at most bits_high, {self.bits_high}, got {self.bits_low}", bits_low=self.bits_high
            )
        if self.fewest_activation_bits > self.bits_high:
            raise InputError(
                f"activation_bits_low must be at most bits_high, {self.bits_high}, got {self.fewest_activation_bits}"
            )
        self.plan  # noqa: B018 - building the plan checks it

    @property
    def fewest_activation_bits(self) -> int:
        """b_l of activations."""
        return self.bits_low if self.activation_bits_low is None else self.activation_bits_low

    @property
    def plan(self) -> Plan:
        """The stages and their periods."""
        return Plan(
            self.warm_up_steps,
            self.projection_steps,
            self.joint_steps,
            self.cool_down_steps,
            self.projection_periods,
            self.pruning_periods,
        )
