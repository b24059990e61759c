"""The Sobolev dual of harmonic frames by transforms, without the matrix of the frame."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.frames.frame import Frame, Harmonics
from sdqviz.sigma_delta.duals.dual import Dual, filtered, shaped_dual
from sdqviz.sigma_delta.taps import Taps, difference

MOST_ORDER = 2
"""Orders up to which this agrees with QR to 1e-9; beyond, frames are conditioned too badly to tell."""

LEAST_WORK = 1 << 14
"""N·d from which on transforms are quicker than a matrix."""


def noise_dual(frame: Frame, order: Index | None, inverse: tuple[Fraction, ...], what: str) -> Dual:
    """Return (B⁻¹E)⁺B⁻¹: by transforms where the frame is harmonic and B a difference D or D², else by QR.

    Raises
    ------
    InputError
        If the condition number of B⁻¹E leaves no digits.
    """
    harmonic, power = frame.harmonic, len(inverse) - 1
    plain = order is None and 1 <= power <= MOST_ORDER and inverse == difference(power).polynomial
    paired = frame.dimension % 2 == 0  # without a constant coordinate
    if harmonic is None or not paired or not plain or frame.size * frame.dimension < LEAST_WORK:
        return shaped_dual(frame, order, inverse, what)
    return Transformed(frame, harmonic, power)


class Transformed(Dual):
    """F = (D⁻ʳE)⁺D⁻ʳ of a harmonic frame along the order as written.

    Parameters
    ----------
    frame : Frame
        Unit-norm and tight, E.
    harmonic : Harmonics
        Its frequencies and signs.
    power : int
        r.

    Notes
    -----
    With z = e^{2πik/N}, a = z/(z−1) and b = 1/(z−1), sums of powers are D⁻¹zⁿ = a zⁿ − b, so that D⁻ʳE = (E + PC)T:
    T turns and stretches each pair of coordinates by aʳ, and P has the columns C(n+j, j), j < r. With P = QR, RC = SᵀVᵀ
    (V with r orthonormal columns) only the r columns A = EV + QSᵀ of (E + PC) are not those of a tight frame; made
    orthogonal to the others, they are solved for by QR, the others by one more transform. Nothing is squared, which is
    what fails in Woodbury's form.
    """

    def __init__(self, frame: Frame, harmonic: Harmonics, power: int) -> None:
        self.frame, self.power, self._harmonic = frame, power, harmonic
        z = np.exp(2j * np.pi * harmonic.frequencies / frame.size)
        a, b = z / (z - 1), 1 / (z - 1)
        constants = np.zeros((power, len(z)), complex)
        for t in range(power):
            constants[1:] = constants[:-1].copy()
            constants[0] = -(a**t) * b
        self._turn = a**power
        mixed = np.sqrt(2 / frame.dimension) * constants / self._turn
        rows = np.empty((power, frame.dimension))
        rows[:, ::2], rows[:, 1::2] = mixed.real, mixed.imag
        sums = np.cumsum(np.ones((power, frame.size)), axis=1)
        sums[0] = 1.0  # C(n, 0) and C(n+1, 1)
        q, r = np.linalg.qr(sums.T)
        self._axes, s = np.linalg.qr((r @ rows).T)
        self._apart = self._analyze(self._axes.T).T + q @ s.T
        residual = self._apart
        for _ in range(2):  # the second time takes away what rounding left
            residual = residual - self._tight_part(residual.T).T
        self._lengths = np.linalg.norm(residual, axis=0)
        self._basis, self._upper = np.linalg.qr(residual / self._lengths)

    def _analyze(self, x: Array) -> Array:
        return self.frame.analyze(x * self._harmonic.signs)

    def _adjoint(self, c: Array) -> Array:
        """(d/N)Eᵀc without what lies along V."""
        found = self.frame.synthesize(c) * self._harmonic.signs
        return np.asarray(found - (found @ self._axes) @ self._axes.T)

    def _tight_part(self, c: Array) -> Array:
        return self._analyze(self._adjoint(c))

    def apply(self, levels: Array) -> Array:
        """Return the vectors of levels, shape (..., N) → (..., d)."""
        summed = filtered(levels, difference(self.power).polynomial)
        along = np.linalg.solve(self._upper, (summed @ self._basis)[..., None])[..., 0] / self._lengths
        turned = along @ self._axes.T + self._adjoint(summed - along @ self._apart.T)
        pairs = (turned[..., ::2] - 1j * turned[..., 1::2]) / self._turn
        x = np.empty_like(turned)
        x[..., ::2], x[..., 1::2] = pairs.real, -pairs.imag
        return np.asarray(x * self._harmonic.signs)

    @functools.cached_property
    def _singular(self) -> Array:
        """Singular values of D⁻ʳE, those of a d × d matrix: it is this times orthonormal columns."""
        d, power = self.frame.dimension, self.power
        others = np.linalg.qr(self._axes, mode="complete")[0][:, power:]
        scale = np.sqrt(self.frame.size / d)
        inner = np.zeros((d, d))
        inner[: d - power, :power] = scale * others.T @ (self.frame.synthesize(self._apart.T) * self._harmonic.signs).T
        inner[: d - power, power:] = scale * np.eye(d - power)
        inner[d - power :, :power] = self._upper * self._lengths
        turned = inner @ np.concatenate([self._axes, others], axis=1).T
        whole = np.empty_like(turned)
        real, imaginary = self._turn.real, self._turn.imag
        whole[:, ::2] = turned[:, ::2] * real - turned[:, 1::2] * imaginary
        whole[:, 1::2] = turned[:, ::2] * imaginary + turned[:, 1::2] * real
        return np.asarray(np.linalg.svd(whole, compute_uv=False))

    @property
    def condition(self) -> float:  # type: ignore[override]
        """Condition number of D⁻ʳE."""
        return float(self._singular[0] / self._singular[-1])

    def error_norm(self, taps: Taps) -> float:
        """Return ‖FH‖₂: 1/σ_min(D⁻ʳE) for H = Dʳ; for another filter from the matrix."""
        polynomial = difference(self.power).polynomial
        if taps.polynomial == polynomial:
            return float(1 / self._singular[-1])
        return shaped_dual(self.frame, None, polynomial, f"D^(−{self.power})E").error_norm(taps)
