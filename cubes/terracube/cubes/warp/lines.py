"""Weighted sums of neighbouring source pixels, several at once where the processor can.

The products of a line are formed side by side and added in one order, pair by pair from the left, in strict IEEE
arithmetic: the sum is the same to the bit as if it were formed one by one, on any processor.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from numba import types as numba_types
from numba.extending import intrinsic

# What numba builds its code from, and describes it with: neither carries types.
ir = import_module("llvmlite.ir")
types: Any = numba_types
_INDEX = ir.IntType(32)


def _dot(_context: Any, values: Any, _first: Any, weights: Any) -> Any:
    signature = types.float64(values, types.uintp, types.UniTuple(types.float64, weights.count))

    def generate(context: Any, builder: Any, signature: Any, arguments: tuple[Any, ...]) -> Any:
        count = signature.args[2].count
        pixels = _pixels(context, builder, signature.args[0], arguments, count)
        products = builder.fmul(pixels, _side_by_side(builder, arguments[2], count))
        # Lanes 1, 1, 3, 3, ...: each even lane then holds the sum of a pair.
        odd = ir.Constant(ir.VectorType(_INDEX, count), [lane | 1 for lane in range(count)])
        pairs = builder.fadd(products, builder.shuffle_vector(products, products, odd))
        total = builder.extract_element(pairs, _INDEX(0))
        for lane in range(2, count, 2):
            total = builder.fadd(total, builder.extract_element(pairs, _INDEX(lane)))
        return total

    return signature, generate


dot: Any = intrinsic(_dot)
"""``dot(values, first, weights)``: ``weights[0] * values.flat[first] + ...``, for a tuple of an even number of weights.

No index is checked: all pixels must be inside the array, which must be contiguous.
"""


def _pixels(context: Any, builder: Any, array: Any, arguments: tuple[Any, ...], count: int) -> Any:
    """Load neighbouring pixels as a vector of float64."""
    start = builder.gep(context.make_array(array)(context, builder, arguments[0]).data, [arguments[1]])
    stored = ir.VectorType(context.get_value_type(array.dtype), count)
    pixels = builder.load(builder.bitcast(start, stored.as_pointer()))
    pixels.align = array.dtype.bitwidth // 8
    doubles = ir.VectorType(ir.DoubleType(), count)
    if isinstance(array.dtype, types.Integer):
        return builder.sitofp(pixels, doubles) if array.dtype.signed else builder.uitofp(pixels, doubles)
    return pixels if array.dtype == types.float64 else builder.fpext(pixels, doubles)


def _side_by_side(builder: Any, weights: Any, count: int) -> Any:
    found = ir.Constant(ir.VectorType(ir.DoubleType(), count), ir.Undefined)
    for lane in range(count):
        found = builder.insert_element(found, builder.extract_value(weights, lane), _INDEX(lane))
    return found
