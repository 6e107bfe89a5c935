"""Arithmetic on vector registers, written out as LLVM code: complex numbers, Fourier transforms, exponentials.

Python evaluates these expressions once, while numba compiles; what they leave behind is the code. A sign of a transform
is that of its exponent: 1 for the inverse, -1 for the forward transform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
from llvmlite import ir

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f", False) else 8
"""Numbers of a vector: as many as a register of the processor holds; of one without AVX, two registers."""
VECTOR = ir.VectorType(ir.FloatType(), LANES)
BITS = ir.VectorType(ir.IntType(32), LANES)
_FUSED = ("contract",)


class Vector:
    """A vector of floats in the code being written; a zero may stand for it where it is known to be one."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _operand(self, other: Vector | float) -> Any:
        return other.value if isinstance(other, Vector) else ir.Constant(VECTOR, [float(other)] * LANES)

    def __add__(self, other: Vector | float) -> Vector:
        if not isinstance(other, Vector) and other == 0:
            return self
        return Vector(self.builder, self.builder.fadd(self.value, self._operand(other), flags=_FUSED))

    __radd__ = __add__

    def __sub__(self, other: Vector | float) -> Vector:
        if not isinstance(other, Vector) and other == 0:
            return self
        return Vector(self.builder, self.builder.fsub(self.value, self._operand(other), flags=_FUSED))

    def __rsub__(self, other: float) -> Vector:
        return -self if other == 0 else Vector(self.builder, self._operand(other)) - self

    def __mul__(self, other: Vector | float) -> Any:
        if not isinstance(other, Vector) and other == 0:
            return 0.0
        return Vector(self.builder, self.builder.fmul(self.value, self._operand(other), flags=_FUSED))

    __rmul__ = __mul__

    def __neg__(self) -> Vector:
        return Vector(self.builder, self.builder.fneg(self.value))


class Complex:
    """Vectors of real and imaginary parts in the code being written."""

    def __init__(self, re: Any, im: Any) -> None:
        self.re, self.im = re, im

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.re + other.re, self.im + other.im)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, other: Complex) -> Complex:
        return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def scaled(self, factor: float) -> Complex:
        return Complex(factor * self.re, factor * self.im)

    def conjugate(self) -> Complex:
        return Complex(self.re, -self.im)

    def turned(self, numerator: int, denominator: int) -> Complex:
        """Times ``exp(2 π i numerator / denominator)``, by additions alone where that is possible."""
        eighths, rest = divmod(8 * (numerator % denominator), denominator)
        if rest:
            angle = 2 * math.pi * numerator / denominator
            return self * Complex(math.cos(angle), math.sin(angle))
        turned = self
        if eighths % 2:
            turned = Complex(self.re - self.im, self.re + self.im).scaled(math.sqrt(0.5))
        for _ in range(eighths // 2):
            turned = Complex(-turned.im, turned.re)
        return turned


def butterfly(x: Sequence[Complex], sign: int) -> list[Complex]:
    """Discrete Fourier transform ``sum_k x_k exp(sign 2 π i j k / n)`` of n numbers, n even or an odd prime."""
    n = len(x)
    if n == 1:
        return list(x)
    if n == 2:
        return [x[0] + x[1], x[0] - x[1]]
    y = [Complex(0.0, 0.0)] * n
    if n % 2:
        half = range(1, (n + 1) // 2)
        sums, differences = [x[k] + x[n - k] for k in half], [x[k] - x[n - k] for k in half]
        y[0] = sum(sums, start=x[0])
        for j in half:
            even, odd = x[0], Complex(0.0, 0.0)
            for k, total, difference in zip(half, sums, differences, strict=True):
                angle = sign * 2 * math.pi * (j * k % n) / n
                even, odd = even + total.scaled(math.cos(angle)), odd + difference.scaled(math.sin(angle))
            odd = odd.turned(1, 4)
            y[j], y[n - j] = even + odd, even - odd
        return y
    # Of a multiple of 3, the inputs that may be known to be zero, those of the inverse, go into the same inner
    # transforms, and the outputs that may not be wanted, those of the forward one, come from the same outer ones.
    inner = n // 2 if n % 3 else 3 if sign > 0 else n // 3
    outer = n // inner
    columns = [butterfly(x[i::outer], sign) for i in range(outer)]
    for j in range(inner):
        y[j::inner] = butterfly([columns[i][j].turned(sign * i * j, n) for i in range(outer)], sign)
    return y


def exponential(x: Vector) -> Complex:
    """``exp(i x)``, for |x| up to some 1e4 to single precision; NaN where x is not finite."""
    b = x.builder
    # Adding this leaves the nearest whole number of quarter turns in the last bits of the sum.
    whole = 1.5 * 2.0**23
    shifted = x * (2 / math.pi) + whole
    turns, quarters = shifted - whole, b.bitcast(shifted.value, BITS)
    # π / 2 in three parts, the first two with so few bits that their products with small whole numbers are exact.
    r = x - turns * 1.5703125 - turns * 4.837512969970703125e-4 - turns * 7.549789948768648e-8
    z = r * r
    sine, cosine = z * (1 / math.factorial(9)), z * (-1 / math.factorial(10))
    for n in (7, 5, 3):
        sine = z * (sine + (-1) ** (n // 2) / math.factorial(n))
    for n in (8, 6, 4, 2):
        cosine = z * (cosine + (-1) ** (n // 2) / math.factorial(n))
    sine, cosine = r + r * sine, cosine + 1.0

    def integers(value: int) -> Any:
        return ir.Constant(BITS, [value] * LANES)

    odd = b.icmp_signed("!=", b.and_(quarters, integers(1)), integers(0))
    parts = []
    for quarter, (even_part, odd_part) in enumerate(((sine, cosine), (cosine, sine))):
        negative = b.shl(b.and_(b.add(quarters, integers(quarter)), integers(2)), integers(30))
        part = b.bitcast(b.select(odd, odd_part.value, even_part.value), BITS)
        parts.append(Vector(b, b.bitcast(b.xor(part, negative), VECTOR)))
    return Complex(parts[1], parts[0])
