"""Signals are held off within the block, handled after it, and handlers are as they were."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from interrupt_helpers import run_interrupted
from kompot._interrupts import interrupts_deferred


@pytest.fixture(autouse=True)
def _handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def deferred(block):
    """Run a function within the block."""
    with interrupts_deferred() as handle:
        block(handle)


def test_two_interrupts_wait_for_the_end():
    done = []

    def block(_handle):
        for step in range(2):
            interrupt()
            done.append(step)

    with pytest.raises(KeyboardInterrupt):
        deferred(block)
    assert done == [0, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_at_any_line_is_neither_lost_nor_does_it_cut_the_block():
    done = []

    def block():
        with interrupts_deferred():
            done.append("start")
            done.append("end")

    n_lines = run_interrupted(block, ["_interrupts.py"])
    assert n_lines > 10
    for line in range(n_lines):
        done.clear()
        with pytest.raises(KeyboardInterrupt):
            run_interrupted(block, ["_interrupts.py"], at=[line])
        assert done in ([], ["start", "end"])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_block_comes_with_the_interrupt():
    def block(_handle):
        interrupt()
        raise ValueError("wrong")

    with pytest.raises(KeyboardInterrupt) as caught:
        deferred(block)
    assert isinstance(caught.value.__context__, ValueError)


def test_handling_in_the_middle():
    done = []

    def block(handle):
        handle()
        interrupt()
        done.append("held")
        handle()
        done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        deferred(block)
    assert done == ["held"]


def test_nested_blocks():
    done = []

    def block(_handle):
        deferred(lambda _handle: interrupt())
        done.append("after the inner one")

    with pytest.raises(KeyboardInterrupt):
        deferred(block)
    assert done == ["after the inner one"]


def test_the_users_handlers_are_called_once_per_signal_and_put_back():
    calls = []

    def mine(number, _frame):
        calls.append(number)

    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, mine)
    signal.signal(signal.SIGTERM, mine)
    try:
        with interrupts_deferred():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
            assert not calls
        assert calls == [signal.SIGINT, signal.SIGTERM, signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_installs_another_one_has_its_way():
    def first(_number, _frame):
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    signal.signal(signal.SIGINT, first)
    with interrupts_deferred() as handle:
        os.kill(os.getpid(), signal.SIGINT)
        handle()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_no_handler_stays_none(handler):
    signal.signal(signal.SIGINT, handler)
    with interrupts_deferred():
        assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_handler_of_compiled_code_is_left_alone(monkeypatch):
    monkeypatch.setattr("signal.getsignal", lambda _number: None)
    monkeypatch.setattr("signal.signal", lambda *_args: pytest.fail("replaced"))
    with interrupts_deferred():
        pass


def test_another_thread_changes_no_handlers():
    seen = []

    def work():
        with interrupts_deferred() as handle:
            seen.append(signal.getsignal(signal.SIGINT))
            handle()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_a_process_that_is_killed_by_the_signal_still_is():
    code = (
        "import os, signal\n"
        "from kompot._interrupts import interrupts_deferred\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "with interrupts_deferred():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert (
        subprocess.run(  # noqa: S603  this interpreter
            [sys.executable, "-c", code], check=False
        ).returncode
        == -signal.SIGINT
    )


def test_one_handler_that_raises_does_not_swallow_the_next():
    calls = []

    def raising(number, _frame):
        calls.append(number)
        raise RuntimeError(str(number))

    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, raising)
    signal.signal(signal.SIGINT, raising)
    try:
        with contextlib.suppress(RuntimeError), interrupts_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        assert sorted(calls) == [signal.SIGINT, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
