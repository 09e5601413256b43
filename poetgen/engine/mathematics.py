"""exp, sigmoid, tanh and log in float64, with the same bits on every machine.

Libraries compute these functions with different errors on different processors.  Here they consist of
IEEE addition, subtraction, multiplication and division in a fixed order, each a separate operation on an
array, so that no compiler can fuse two of them into one rounding.  The relative error is below 1e-9.
The network reads them from tables (`softmax`, `network`), which are made with these functions.

The functions take numpy arrays, or torch tensors of float64: both have these operators, and give the
same bits.

With x·log₂e = n + f, n a whole number and |f| ≤ ½:

    exp(x) = 2ⁿ·2ᶠ,    2ᶠ − 1 ≈ f·(c₀ + c₁f + … + c₆f⁶)

The coefficients interpolate (2ᶠ − 1)/f at the Chebyshev nodes of [−½, ½].
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT = 700.0
"""exp takes arguments from −700 to 700, where it is neither infinite nor subnormal; others are clipped."""

_LOG2_E = 1.4426950408889634
_LIMIT_2 = LIMIT * _LOG2_E
_LN_2 = 0.6931471805599453
_ROUND = 1.5 * 2.0**52
"""Adding it leaves no room for a fraction: the sum is rounded to a whole number, ties to even, and its low
bits are that number."""
_COEFFICIENTS = (
    0.6931471805599453,
    0.24022650922288757,
    0.055504108839096185,
    0.009618056678524637,
    0.001333350238616277,
    0.0001546144469856913,
    1.5297323760701075e-05,
)


def exp(x: Any, factor: float = 1.0) -> Any:
    """Return e^(factor·x), for factor·x clipped to ±`LIMIT`; a new array of the shape of `x`.

    >>> exp(np.array([0.0, 1.0])).round(8).tolist()
    [1.0, 2.71828183]
    """
    whole, result = _split(x, factor)
    result += 1.0
    _bits(result)[...] += _bits(whole)
    return result


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e⁻ˣ).

    >>> sigmoid(np.array([0.0])).tolist()
    [0.5]
    """
    result = exp(x, -1.0)
    result += 1.0
    return 1.0 / result


def tanh(x: Any) -> Any:
    """Return (e²ˣ − 1) / (e²ˣ + 1), accurate near 0 too.

    >>> tanh(np.array([0.0, 1.0])).round(8).tolist()
    [0.0, 0.76159416]
    """
    whole, result = _split(x, 2.0)
    power = 0.0 * result
    power += 1.0
    _bits(power)[...] += _bits(whole)  # 2ⁿ
    result *= power
    power -= 1.0
    result += power  # 2ⁿ(2ᶠ − 1) + (2ⁿ − 1) = e²ˣ − 1
    return result / (result + 2.0)


def log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln x for finite x > 0.

    With x = 2ᵏ·m, ½√2 ≤ m < √2 and s = (m − 1)/(m + 1): ln m = 2(s + s³/3 + s⁵/5 + …).

    >>> log(np.array([1.0, 10.0])).round(8).tolist()
    [0.0, 2.30258509]
    """
    m, k = np.frexp(x)  # exact: it moves the exponent
    is_small = m < 0.7071067811865476
    m = np.where(is_small, m + m, m)
    k = k - is_small
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    series = np.full_like(s, 1 / 21)
    for divisor in range(19, 0, -2):
        series *= square
        series += 1 / divisor
    return 2.0 * s * series + k * _LN_2


def _split(x: Any, factor: float) -> tuple[Any, Any]:
    """Return (n as the bits that, added to a float64, multiply it by 2ⁿ; 2ᶠ − 1).

    n + f is factor·x·log₂e.
    """
    f = (x * (factor * _LOG2_E)).clip(-_LIMIT_2, _LIMIT_2)
    whole = f + _ROUND
    f -= whole - _ROUND
    bits = _bits(whole)
    bits <<= 52  # the exponent of a float64 begins at bit 52; all above it of _ROUND is shifted out
    result = f * _COEFFICIENTS[-1]
    for coefficient in _COEFFICIENTS[-2::-1]:
        result += coefficient
        result *= f
    return whole, result


def _bits(x: Any) -> Any:
    """Return the bits of a float64 array as a view of whole numbers."""
    return x.view(np.int64 if isinstance(x, np.ndarray) else sys.modules["torch"].int64)
