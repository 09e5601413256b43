"""Deferred signals, and the handlers that are restored."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from poetgen.errors import PoetgenError
from poetgen.training.signals import Interrupted, StopGuard, StopRequested

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])


class StrayError(Exception):
    """A signal reached the handler that was installed before the guard."""


@pytest.fixture(autouse=True)
def _stray_signals_fail_the_test() -> Iterator[None]:
    def stray(number: int, _frame: object) -> None:
        raise StrayError(number)

    before = {n: signal.signal(n, stray) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@BOTH
def test_signal_is_deferred_to_the_next_check(number: signal.Signals) -> None:
    with StopGuard() as guard:
        guard.check()
        send(number)
        with pytest.raises(StopRequested) as caught:
            guard.check()
    assert caught.value.signal_number == number


@BOTH
def test_interruptible_block_stops_immediately(number: signal.Signals) -> None:
    passed = []

    def work(guard: StopGuard) -> None:
        with guard.interruptible():
            passed.append("before")
            send(number)
            passed.append("after")

    with StopGuard() as guard, pytest.raises(StopRequested):
        work(guard)
    assert passed == ["before"]


def test_interruptible_is_not_entered_after_a_signal() -> None:
    with StopGuard() as guard:
        send(signal.SIGTERM)
        with pytest.raises(StopRequested), guard.interruptible():
            pytest.fail("the block should not be entered")


def test_signal_after_interruptible_block_is_deferred() -> None:
    with StopGuard() as guard:
        with guard.interruptible():
            pass
        send(signal.SIGTERM)
        with pytest.raises(StopRequested):
            guard.check()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_second_sigint_interrupts_immediately(first: signal.Signals) -> None:
    with StopGuard():
        send(first)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_second_sigterm_is_deferred() -> None:
    with StopGuard() as guard:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        with pytest.raises(StopRequested):
            guard.check()


def test_handlers_are_restored_after_an_error() -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def fail() -> None:
        with StopGuard():
            assert not set(handlers()) & set(before)
            raise ZeroDivisionError

    before = handlers()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert handlers() == before
    with pytest.raises(StrayError):
        send(signal.SIGTERM)


def test_guard_in_another_thread_sets_no_handlers() -> None:
    outcome = []

    def body() -> None:
        with StopGuard() as guard:
            guard.check()
            outcome.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert outcome == [before]


def test_stop_requested_is_not_an_exception() -> None:
    assert not issubclass(StopRequested, Exception)


@pytest.mark.parametrize(
    ("number", "name", "code"), [(signal.SIGINT, "SIGINT", 130), (signal.SIGTERM, "SIGTERM", 143)]
)
def test_interrupted_says_how_to_continue(number: int, name: str, code: int) -> None:
    error = Interrupted(number, "spring", 1234)
    assert isinstance(error, PoetgenError)
    assert error.exit_code == code
    assert error.why == f"stopped by {name} after step 1234; everything is saved"
    assert "poetgen train --run spring --resume" in error.fix
