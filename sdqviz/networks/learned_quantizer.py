"""A quantizer whose step, range and exponent are learned, and how it is put on a layer's weights or its input."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdqviz.error import InputError

FINEST_BITS = 24
"""A step never becomes finer than at this many bits: beyond them float32 cannot tell levels apart."""

LEAST_REACH, LEAST_EXPONENT = 1e-6, 0.05
"""q_m and t stay above these while they are learned: a plain step may pass zero."""

ACTIVATION_MARGIN = 1.05
"""The range of an activation quantizer starts this much above the largest value seen."""


def _clipped(values: Tensor, reach: Tensor | float, exponent: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return c = min(|x|, q_m)^t and the logarithm of min(|x|, q_m), floored where x = 0."""
    size = torch.minimum(values.abs(), reach) if isinstance(reach, Tensor) else values.abs().clamp_max_(reach)
    # exp(t log) is several times faster than a power; where x = 0 the sign makes up for the floor
    logarithm = size.clamp_min(torch.finfo(values.dtype).tiny).log_()
    return size if isinstance(exponent, float) and exponent == 1.0 else (logarithm * exponent).exp_(), logarithm


class _Rounding(torch.autograd.Function):
    """x^Q with its straight-through gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, reach: Tensor, exponent: Tensor) -> Tensor:
        # plain numbers are faster than tensors of one entry; a trace, which runs in inference mode, needs the tensors
        traced = torch.compiler.is_compiling() or torch.is_inference_mode_enabled()
        numbers = (reach, exponent) if traced else (reach.item(), exponent.item())
        clipped, logarithm = _clipped(values, *numbers)
        ratio = clipped / step
        levels = ratio.round()
        sign = values.sign()
        ctx.save_for_backward(values, sign, clipped, logarithm, levels - ratio, reach, exponent)
        return levels.mul_(sign).mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        values, sign, clipped, logarithm, residual, reach, exponent = ctx.saved_tensors
        # strictly below the next number above q_m: equality counts as inside
        end = torch.nextafter(reach, torch.full_like(reach, torch.inf)).item()
        for_values = torch.ops.aten.hardtanh_backward(gradients[0], values, -end, end)
        signed = (gradients[0] * sign).reshape(-1)
        for_step = torch.dot(signed, residual.reshape(-1))
        outside = signed.sum() - torch.dot(for_values.reshape(-1), sign.reshape(-1))
        for_reach = outside * exponent * reach.pow(exponent - 1)
        for_exponent = torch.dot(signed, (clipped * logarithm).reshape(-1))
        return for_values, for_step, for_reach, for_exponent


class LearnedQuantizer(nn.Module):
    """x^Q = d·sgn(x)·round(min(|x|, q_m)^t/d), with d, q_m and t as parameters.

    The gradients are straight-through: with c = min(|x|, q_m)^t

    - for d: sgn(x)·(round(c/d) − c/d),
    - for q_m: 0 inside, sgn(x)·t·q_m^(t−1) outside,
    - for t: sgn(x)·c·log min(|x|, q_m), and 0 at x = 0,
    - for x: 1 inside, 0 outside; |x| = q_m counts as inside, or the largest weight would be dead from the start.

    Parameters
    ----------
    reach : float
        q_m, positive.
    bits : float
        b ≥ 2; the step becomes q_m^t/(2^(b−1) − 1).
    exponent : float
        t, positive.

    Raises
    ------
    InputError
        If the range or the exponent is not positive, or there are fewer than 2 bits.

    Notes
    -----
    Qu et al., *GETA*, arXiv 2502.16638 (CVPR 2025). For whole b there are 2^b − 1 levels, 0 among them.

    Examples
    --------
    >>> quantizer = LearnedQuantizer(reach=3.0, bits=3)
    >>> quantizer(torch.tensor([-9.0, -1.4, 0.0, 0.6, 2.0])).tolist()
    [-3.0, -1.0, 0.0, 1.0, 2.0]
    """

    def __init__(self, reach: float, bits: float, exponent: float = 1.0) -> None:
        super().__init__()
        if not (math.isfinite(reach) and reach > 0):
            raise InputError(f"reach must be positive, got {reach}")
        if not (math.isfinite(exponent) and exponent > 0):
            raise InputError(f"exponent must be positive, got {exponent}")
        step = step_of(torch.tensor(reach), torch.tensor(exponent), bits)
        self.step = nn.Parameter(step)
        self.reach = nn.Parameter(torch.tensor(float(reach)))
        self.exponent = nn.Parameter(torch.tensor(float(exponent)))

    @classmethod
    def for_weight(cls, weight: Tensor, bits: float) -> LearnedQuantizer:
        """Start from q_m = max|W| and t = 1; a weight of zeros gets q_m = 1."""
        largest = float(weight.detach().abs().max())
        return cls(largest if largest > 0 else 1.0, bits)

    @classmethod
    def for_activations(cls, largest: float, bits: float) -> LearnedQuantizer:
        """Start from q_m = 1.05 times the largest absolute value that calibration saw, and t = 1."""
        return cls(ACTIVATION_MARGIN * largest if largest > 0 else 1.0, bits)

    def forward(self, values: Tensor) -> Tensor:
        """Return the quantized values, of the same shape."""
        return _Rounding.apply(values, self.step, self.reach, self.exponent)  # type: ignore[no-any-return]

    def levels(self, values: Tensor) -> Tensor:
        """Return the signed whole numbers k with x^Q = k·d, int64, of the same shape."""
        with torch.no_grad():
            clipped, _ = _clipped(values, self.reach.item(), self.exponent.item())
            return (torch.round(clipped / self.step) * values.sign()).long()

    @property
    def bits(self) -> float:
        """Bits b = log2(q_m^t/d + 1) + 1, a real number while they are being learned."""
        return bits_of(self.step.detach(), self.reach.detach(), self.exponent.detach()).item()

    @property
    def whole_bits(self) -> int:
        """The nearest whole b."""
        return round(self.bits)

    def set_bits(self, bits: float) -> None:
        """Set d so that there are b bits; q_m and t stay."""
        with torch.no_grad():
            self.step.copy_(step_of(self.reach, self.exponent, bits))

    def tie_step(self) -> None:
        """Add to the gradient of q_m what d passes on while it follows q_m with fixed bits: ∂d/∂q_m = t·d/q_m."""
        with torch.no_grad():
            if self.step.grad is not None and self.reach.grad is not None:
                self.reach.grad += self.step.grad * self.exponent * self.step / self.reach

    def keep_positive(self) -> None:
        """Keep q_m and t above zero after a plain step."""
        with torch.no_grad():
            self.reach.clamp_(min=LEAST_REACH)
            self.exponent.clamp_(min=LEAST_EXPONENT)

    def extra_repr(self) -> str:
        """Show the bits and the range."""
        return f"bits={self.bits:.3g}, reach={self.reach.item():.3g}, exponent={self.exponent.item():.3g}"


def bits_of(step: Tensor, reach: Tensor, exponent: Tensor) -> Tensor:
    """Return b = log2(q_m^t/d + 1) + 1, elementwise."""
    return torch.log2(reach.pow(exponent) / step + 1) + 1


def step_of(reach: Tensor, exponent: Tensor, bits: float | Tensor) -> Tensor:
    """Return d = q_m^t/(2^(b−1) − 1), elementwise.

    Raises
    ------
    InputError
        If b is below 2: one bit would leave the level 0 alone.
    """
    smallest = float(bits.min()) if isinstance(bits, Tensor) else float(bits)
    if not smallest >= 2:
        raise InputError(f"bits of a learned quantizer must be at least 2, got {smallest:g}")
    return reach.detach().pow(exponent.detach()) / (2 ** (bits - 1) - 1)


class QuantizedLinear(nn.Linear):
    """A dense layer that multiplies by its quantized weight: the quantizer is an attached branch."""

    weight_quantizer: LearnedQuantizer

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer with its quantized weight."""
        return functional.linear(input, self.weight_quantizer(self.weight), self.bias)


class QuantizedConv1d(nn.Conv1d):
    """A convolution along one axis with its quantized weight."""

    weight_quantizer: LearnedQuantizer

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer with its quantized weight."""
        return self._conv_forward(input, self.weight_quantizer(self.weight), self.bias)


class QuantizedConv2d(nn.Conv2d):
    """A convolution of images with its quantized weight."""

    weight_quantizer: LearnedQuantizer

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer with its quantized weight."""
        return self._conv_forward(input, self.weight_quantizer(self.weight), self.bias)


QUANTIZED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: QuantizedLinear,
    nn.Conv1d: QuantizedConv1d,
    nn.Conv2d: QuantizedConv2d,
}
"""Which class a layer takes on when a quantizer is attached to its weight."""


def quantize_weight(layer: nn.Module, quantizer: LearnedQuantizer) -> None:
    """Attach a quantizer to a layer's weight, in place; the layer stays a Linear or a convolution with that weight.

    Raises
    ------
    InputError
        If the layer is not exactly a Linear, Conv1d or Conv2d: a class of someone's own may not use its weight so.
    """
    if type(layer) not in QUANTIZED:
        names = ", ".join(kind.__name__ for kind in QUANTIZED)
        raise InputError(f"layer must be a plain one of {names}, got {type(layer).__name__}")
    layer.__class__ = QUANTIZED[type(layer)]
    layer.weight_quantizer = quantizer


def quantize_input(layer: nn.Module, quantizer: LearnedQuantizer) -> None:
    """Insert a quantizer before a layer, in place: what enters the layer is quantized first."""
    if hasattr(layer, "input_quantizer"):
        raise InputError(f"layer must have no input_quantizer yet, got one: {layer.input_quantizer}")
    layer.input_quantizer = quantizer
    layer.register_forward_pre_hook(quantized_input)


def quantized_input(layer: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Quantize the first argument of a layer with its ``input_quantizer``: a forward pre-hook, copied with a layer."""
    quantizer: Any = layer.input_quantizer
    return (quantizer(arguments[0]), *arguments[1:])


def without_weight_quantizers(module: nn.Module) -> None:
    """Turn every layer with an attached quantizer back into a plain one that holds the quantized weight, in place."""
    plain = {quantized: kind for kind, quantized in QUANTIZED.items()}
    for part in list(module.modules()):
        if type(part) not in plain:
            continue
        weight = part.weight
        with torch.no_grad():
            weight.copy_(part.weight_quantizer(weight))  # type: ignore[operator, union-attr, arg-type]
        del part.weight_quantizer
        part.__class__ = plain[type(part)]
