"""exp, sigmoid, tanh, log: accurate, and bit for bit the same in numpy and torch."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from poetgen.engine.mathematics import LIMIT, exp, log, sigmoid, tanh

EXACT: dict[Callable[[Any], Any], Callable[[Any], Any]] = {
    exp: mpmath.exp,
    sigmoid: lambda x: 1 / (1 + mpmath.exp(-x)),
    tanh: mpmath.tanh,
}
SCALES = (1e-300, 1e-12, 1e-6, 1e-3, 0.1, 1, 10, 100, 200)


def arguments(num: int) -> NDArray[np.float64]:
    random = np.random.default_rng(1)
    return np.concatenate([random.normal(size=num) * scale for scale in SCALES])


@pytest.mark.parametrize("function", EXACT)
def test_function_is_accurate_to_1e_9(function: Callable[[Any], Any]) -> None:
    x = arguments(500).clip(-LIMIT, LIMIT)
    with mpmath.workdps(30):
        errors = [
            abs(mpmath.mpf(value) / EXACT[function](mpmath.mpf(argument)) - 1)
            for argument, value in zip(x.tolist(), function(x).tolist(), strict=True)
        ]
    assert max(errors) < 1e-9


def test_log_is_accurate_to_1e_9() -> None:
    random = np.random.default_rng(2)
    x = np.concatenate(
        [np.exp(random.normal(size=1000) * 100), 1 + random.normal(size=1000) * 1e-7]
    )
    with mpmath.workdps(30):
        errors = [
            abs(mpmath.mpf(value) / mpmath.log(mpmath.mpf(argument)) - 1)
            for argument, value in zip(x.tolist(), log(x).tolist(), strict=True)
        ]
    assert max(errors) < 1e-9
    assert log(np.array([1.0])).tolist() == [0.0]


@pytest.mark.parametrize("function", EXACT)
def test_function_has_the_same_bits_in_torch(function: Callable[[Any], Any]) -> None:
    x = np.concatenate([arguments(5000), [0.0, -0.0, 1e6, -1e6, np.inf, -np.inf]])
    assert function(torch.from_numpy(x)).numpy().tobytes() == function(x).tobytes()


@pytest.mark.parametrize("function", EXACT)
def test_function_has_the_same_bits_in_any_shape(function: Callable[[Any], Any]) -> None:
    x = arguments(40)
    whole = function(x)
    assert [function(one[None])[0] for one in x] == whole.tolist()
    assert function(x[::3]).tolist() == whole[::3].tolist()
    assert function(x.reshape(2, -1)).ravel().tolist() == whole.tolist()


@pytest.mark.parametrize("function", EXACT)
def test_function_leaves_its_argument(function: Callable[[Any], Any]) -> None:
    x = arguments(3)
    before = x.copy()
    function(x)
    assert x.tolist() == before.tolist()


def test_functions_end_in_their_limits() -> None:
    x = np.array([-np.inf, -1e9, 1e9, np.inf])
    assert sigmoid(x)[2:].tolist() == [1.0, 1.0]
    assert sigmoid(x).min() > 0
    assert tanh(x).tolist() == [-1.0, -1.0, 1.0, 1.0]
    assert np.isfinite(exp(x)).all()
    assert exp(x)[0] == exp(np.array([-LIMIT]))[0]


def test_functions_have_known_bits() -> None:
    """The same numbers on every machine: poems depend on their last bits."""
    x = np.array([-3.5, -0.1, 0.3, 2.0, 20.0])
    found = {f.__name__: [value.hex() for value in f(x).tolist()] for f in (exp, sigmoid, tanh)}
    found["log"] = [value.hex() for value in log(np.abs(x)).tolist()]
    assert found == KNOWN_BITS


KNOWN_BITS = {
    "exp": [
        "0x1.eec1018e5b26fp-6",
        "0x1.cf46d99d7fbf8p-1",
        "0x1.599058c9065c9p+0",
        "0x1.d8e64b8d76345p+2",
        "0x1.ceb088b6bb770p+28",
    ],
    "sigmoid": [
        "0x1.e040681cc0edep-6",
        "0x1.e66bdb1ab53ffp-2",
        "0x1.261d545e1c3e1p-1",
        "0x1.c2f7d5a8a3a11p-1",
        "0x1.ffffffee4b79ap-1",
    ],
    "tanh": [
        "-0x1.ff112c63a8f65p-1",
        "-0x1.983d7797b2034p-4",
        "0x1.2a4dda7dbe311p-2",
        "0x1.ed9505e1bb9b3p-1",
        "0x1.0000000000000p+0",
    ],
    "log": [
        "0x1.40b512eb53d60p+0",
        "-0x1.26bb1bbb55515p+1",
        "-0x1.34378fcbda720p+0",
        "0x1.62e42fefa39efp-1",
        "0x1.7f7427b73e391p+1",
    ],
}
