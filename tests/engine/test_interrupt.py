from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from slowfast.engine.interrupt import StopRequest
from slowfast.errors import Interrupted
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_flag_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.agreed()
        os.kill(os.getpid(), number)
        assert stop.agreed()
        assert signal.Signals(number).name in stop.message("saved x")
        assert stop.message("saved x").endswith("; saved x")
    assert signal.getsignal(number) is before


def test_a_second_signal_is_not_polite_any_more():
    # A shell that runs the tests in the background has them ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest():
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_immediately_raises_on_the_spot():
    with StopRequest() as stop:
        with pytest.raises(Interrupted, match="SIGTERM"), stop.immediately():
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.agreed()


def test_immediately_refuses_to_begin_after_a_signal():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), stop.immediately():
            pytest.fail("the block ran")


def test_another_thread_cannot_listen_and_does_not_fail():
    flags = []

    def work():
        with StopRequest() as stop:
            flags.append(stop.agreed())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert flags == [False]


CHILD = """
import os, signal, time
from slowfast.engine.interrupt import StopRequest
with StopRequest():
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    time.sleep(0.1)
    os.kill(child, signal.SIGTERM)
    time.sleep(0.1)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "the first signal ended the loading process"
    os.kill(child, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
"""


def test_loading_processes_pass_over_the_first_signal():
    result = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def _agree():
    with StopRequest() as stop:
        first = stop.agreed()
        if du.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return first, stop.agreed(), stop.message()


def test_all_ranks_agree_about_one_ranks_signal():
    results = run_two_processes(_agree)
    assert [result[:2] for result in results] == [(False, True), (False, True)]
    assert "another rank" in results[0][2]
