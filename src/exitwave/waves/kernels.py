"""Kernels on the rows of panels, for compiled code: butterflies of Fourier transforms, tile transposes, products.

A *row* is ``LANES`` complex numbers of as many independent signals, kept as a vector of their real parts followed by
one of their imaginary parts. numba's own vectoriser cannot know that the rows that a butterfly reads and writes do not
overlap, so the kernels are written with :mod:`exitwave.waves.simd`: each loads all that it needs, and stores the
results at the end. Arrays are one-dimensional and of float32, positions in them are counted in floats, and each array
is given as the array and the position to begin at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from exitwave.waves.simd import BITS, LANES, VECTOR, Complex, Vector, butterfly, exponential

ROW = 2 * LANES
"""Floats of a row."""
_UNDEFINED = ir.Constant(VECTOR, ir.Undefined)
_INTEGER = ir.IntType(64)


class _Code:
    """The code of a kernel being written; arrays are pointers to float, counts 64-bit integers."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def times(self, count: Any, factor: int) -> Any:
        return self.builder.mul(count, ir.Constant(_INTEGER, factor))

    def shift(self, array: Any, by: Any) -> Any:
        return self.builder.gep(array, [ir.Constant(_INTEGER, by) if isinstance(by, int) else by])

    def broadcast(self, array: Any) -> Vector:
        first = self.builder.insert_element(_UNDEFINED, self.builder.load(array), ir.Constant(ir.IntType(32), 0))
        return self.shuffled(Vector(self.builder, first), Vector(self.builder, _UNDEFINED), [0] * LANES)

    def shuffled(self, a: Vector, b: Vector, lanes: Sequence[int]) -> Vector:
        return Vector(self.builder, self.builder.shuffle_vector(a.value, b.value, ir.Constant(BITS, list(lanes))))

    def load(self, array: Any, vector: int = 0) -> Vector:
        pointer = self.builder.bitcast(self.shift(array, vector * LANES), VECTOR.as_pointer())
        return Vector(self.builder, self.builder.load(pointer, align=4))

    def store(self, value: Vector, array: Any, vector: int = 0) -> None:
        pointer = self.builder.bitcast(self.shift(array, vector * LANES), VECTOR.as_pointer())
        self.builder.store(value.value, pointer, align=4)

    def load_row(self, array: Any) -> Complex:
        return Complex(self.load(array), self.load(array, 1))

    def store_row(self, row: Complex, array: Any) -> None:
        self.store(row.re, array)
        self.store(row.im, array, 1)

    def load_numbers(self, array: Any) -> Complex:
        """A row from complex numbers, real and imaginary parts in turn."""
        a, b = self.load(array), self.load(array, 1)
        return Complex(self.shuffled(a, b, range(0, ROW, 2)), self.shuffled(a, b, range(1, ROW, 2)))

    def store_numbers(self, row: Complex, array: Any) -> None:
        """A row to complex numbers, real and imaginary parts in turn."""
        order = [part * LANES + lane for lane in range(LANES) for part in (0, 1)]
        self.store(self.shuffled(row.re, row.im, order[:LANES]), array)
        self.store(self.shuffled(row.re, row.im, order[LANES:]), array, 1)


def codegen(write: Callable[..., None]) -> Callable[..., Any]:
    """What numba calls for the code of a kernel."""

    def codegen(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        *counts, source, a, target, b, numbers, c = values
        code = _Code(builder)
        arrays = []
        for kind, array, position in zip(signature.args[-6::2], (source, target, numbers), (a, b, c), strict=True):
            arrays.append(code.shift(context.make_array(kind)(context, builder, array).data, position))
        write(code, *counts, *arrays)
        return context.get_dummy_value()

    return codegen


def rowwise(write_row: Callable[..., None], width: int = ROW) -> Any:
    """``kernel(count, source, a, target, b, numbers, c)``: row by row; ``width``: floats of a row of the numbers."""

    def write(code: _Code, count: Any, *arrays: Any) -> None:
        with cgutils.for_range(code.builder, count) as row:
            widths = (ROW, ROW, width)
            write_row(code, *(code.shift(a, code.times(row.index, w)) for a, w in zip(arrays, widths, strict=True)))

    def kernel(
        typingctx: Any, count: Any, source: Any, a: Any, target: Any, b: Any, numbers: Any, c: Any
    ) -> tuple[Any, Any]:
        return types.void(count, source, a, target, b, numbers, c), codegen(write)

    return intrinsic(kernel)


def butterflies(writers: dict[int, Callable[..., None]]) -> Any:
    """``kernel(radix, blocks, count, source, a, target, b, numbers, c)``: the butterflies of one step of a transform.

    ``blocks`` consecutive blocks of ``radix * count`` rows; butterfly p of a block takes and gives its rows p,
    p + count, p + 2 count ... Negative radices may stand for variants.
    """

    def write(code: _Code, radix: Any, blocks: Any, count: Any, *arrays: Any) -> None:
        after = code.builder.append_basic_block("after")
        switch = code.builder.switch(radix, after)
        for each, write_butterfly in writers.items():
            case = code.builder.append_basic_block(f"radix{each}")
            switch.add_case(ir.Constant(_INTEGER, each), case)
            code.builder.position_at_end(case)
            with (
                cgutils.for_range(code.builder, blocks) as block,
                cgutils.for_range(code.builder, count) as butterfly,
            ):
                write_butterfly(code, abs(each), block.index, butterfly.index, count, *arrays)
            code.builder.branch(after)
        code.builder.position_at_end(after)

    def kernel(
        typingctx: Any, radix: Any, blocks: Any, count: Any,
        source: Any, a: Any, target: Any, b: Any, numbers: Any, c: Any,
    ) -> tuple[Any, Any]:  # fmt: skip
        return types.void(radix, blocks, count, source, a, target, b, numbers, c), codegen(write)

    return intrinsic(kernel)


def _steps(sign: int, radices: Sequence[int], *, padded: bool = False) -> Any:
    """Steps of a transform, where the numbers are the twiddles, radix - 1 for every butterfly of a block.

    Inverse (sign 1): decimation in frequency, twiddles after the butterfly; forward (-1): decimation in time, conjugate
    twiddles before it. ``padded``: radices 3 q, each in two variants; the positive one leaves out the middle third of
    the frequencies, those beyond the band: from the source of the inverse, from the target of the forward transform.
    """

    def writer(radix: int) -> Callable[..., None]:
        band = [k for k in range(abs(radix)) if not (padded and radix > 0 and radix <= 3 * k < 2 * radix)]
        taken, given = (band, range(abs(radix))) if sign > 0 else (range(abs(radix)), band)

        def write(
            code: _Code, radix: int, block: Any, index: Any, count: Any, source: Any, target: Any, twiddles: Any
        ) -> None:
            first = code.builder.add(code.times(code.builder.mul(block, count), radix), index)
            source, target = (code.shift(array, code.times(first, ROW)) for array in (source, target))
            twiddles = code.shift(twiddles, code.times(index, 2 * (radix - 1)))

            def twisted(k: int, row: Complex) -> Complex:
                if k == 0:
                    return row
                re, im = (code.broadcast(code.shift(twiddles, 2 * (k - 1) + part)) for part in (0, 1))
                return row * Complex(re, im if sign > 0 else -im)

            rows = [Complex(0.0, 0.0)] * radix
            for i, k in enumerate(taken):
                row = code.load_row(code.shift(source, code.times(count, i * ROW)))
                rows[k] = row if sign > 0 else twisted(k, row)
            rows = butterfly(rows, sign)
            for i, k in enumerate(given):
                row = twisted(k, rows[k]) if sign > 0 else rows[k]
                code.store_row(row, code.shift(target, code.times(count, i * ROW)))

        return write

    variants = [signed for radix in radices for signed in ((radix, -radix) if padded else (radix,))]
    return butterflies({radix: writer(radix) for radix in variants})


def _write_through(
    code: _Code, radix: int, block: Any, index: Any, count: Any, source: Any, target: Any, numbers: Any
) -> None:
    source, target, numbers = (code.shift(array, code.times(block, radix * ROW)) for array in (source, target, numbers))
    wave = butterfly([code.load_row(code.shift(source, k * ROW)) for k in range(radix)], 1)
    wave = [x * code.load_numbers(code.shift(numbers, k * ROW)) for k, x in enumerate(wave)]
    for k, x in enumerate(butterfly(wave, -1)):
        code.store_row(x, code.shift(target, k * ROW))


def _write_unpack(code: _Code, source: Any, target: Any, numbers: Any) -> None:
    code.store_row(code.load_numbers(numbers), target)


def _write_pack(code: _Code, source: Any, target: Any, numbers: Any) -> None:
    code.store_numbers(code.load_row(source), numbers)


def _write_multiply(code: _Code, source: Any, target: Any, numbers: Any) -> None:
    code.store_row(code.load_row(source) * code.load_numbers(numbers), target)


def _write_accumulate(code: _Code, source: Any, target: Any, numbers: Any) -> None:
    factor, row = code.load(numbers), code.load_row(source)
    code.store_row(code.load_row(target) + Complex(row.re * factor, row.im * factor), target)


def _write_transpose(code: _Code, source: Any, target: Any, numbers: Any) -> None:
    for part in (0, 1):
        v = [code.load(source, 2 * k + part) for k in range(LANES)]
        width = LANES // 2
        while width:
            # Exchange the off-diagonal blocks of every 2 x 2 arrangement of blocks of this width.
            low = [lane if not lane & width else LANES + (lane ^ width) for lane in range(LANES)]
            high = [lane ^ width if not lane & width else LANES + lane for lane in range(LANES)]
            for k in range(LANES):
                if not k & width:
                    one, other = v[k], v[k | width]
                    v[k], v[k | width] = code.shuffled(one, other, low), code.shuffled(one, other, high)
            width //= 2
        for k in range(LANES):
            code.store(v[k], target, 2 * k + part)


def _write_phase(part: int) -> Callable[..., None]:
    def write(code: _Code, source: Any, target: Any, numbers: Any) -> None:
        row = code.load_numbers(source)
        code.store_numbers(exponential(row.im if part else row.re), target)

    return write


_RADICES = (3, 4, 5, 7, 8, 11, 13)
_FIRST_RADICES = (3, 6)

inverse_step = _steps(1, _RADICES)
"""Steps of the inverse transform, each with decimation in frequency; the numbers are the twiddles."""
forward_step = _steps(-1, _RADICES)
"""Steps of the forward transform, each with decimation in time."""
inverse_first = _steps(1, _FIRST_RADICES, padded=True)
"""First step of the inverse transform; a positive radix: from the band alone."""
forward_last = _steps(-1, _FIRST_RADICES, padded=True)
"""Last step of the forward transform; a positive radix: of the band alone."""
through = butterflies(dict.fromkeys(_RADICES, _write_through))
"""Last step of the inverse transform, product with complex numbers, first step of the forward transform; count is 1."""
unpack = rowwise(_write_unpack)
"""Complex numbers to rows."""
pack = rowwise(_write_pack)
"""Rows to complex numbers."""
multiply = rowwise(_write_multiply)
"""Rows times complex numbers."""
accumulate = rowwise(_write_accumulate, LANES)
"""Rows times real numbers, added to the target."""
transpose = rowwise(_write_transpose)
"""A tile of ``LANES`` rows, rows against lanes; count is 1."""
first_phase = rowwise(_write_phase(0))
"""``exp(i x)`` of the real parts of complex numbers, as complex numbers."""
second_phase = rowwise(_write_phase(1))
"""``exp(i x)`` of the imaginary parts."""
