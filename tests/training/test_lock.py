"""One process at a time in a folder, and a wish to stop."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from recipes.errors import RecipeError
from recipes.files import LOCK
from recipes.training.lock import locked
from recipes.training.signals import StopRequest


def hold(folder, held) -> None:
    with locked(folder):
        held.set()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path`."""
    context = multiprocessing.get_context("fork")  # a fresh interpreter would import torch for seconds
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path, held), daemon=True)
    process.start()
    assert held.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_second_process_is_refused_by_name(holder, tmp_path):
    with pytest.raises(RecipeError) as refusal, locked(tmp_path):
        pass
    assert str(refusal.value) == (
        f"{tmp_path}: another run is going on there (process {holder.pid} on {socket.gethostname()}): "
        "wait for it, or stop it"
    )


def test_a_killed_process_leaves_no_lock(holder, tmp_path):
    holder.kill()
    holder.join()
    with locked(tmp_path):
        pass


def test_a_child_that_inherits_the_lock_holds_it(tmp_path):
    with locked(tmp_path) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()])
    with pytest.raises(RecipeError), locked(tmp_path):
        pass
    child.communicate(b"\n")
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text()


def test_loading_processes_do_not_hold_it(tmp_path):
    """They are forked, and see only after seconds that their training was killed."""
    context = multiprocessing.get_context("fork")
    started = context.Event()
    with locked(tmp_path):
        process = context.Process(target=lambda: started.set() or time.sleep(60), daemon=True)
        process.start()
        assert started.wait(60)
        with pytest.raises(RecipeError), locked(tmp_path):  # the training itself still does
            pass
    with locked(tmp_path):
        assert process.is_alive()
    process.kill()
    process.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_a_wish_and_the_second_an_order(number):
    before = signal.getsignal(number)
    with StopRequest() as request:
        assert request.signal_name is None
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert request.signal_name == signal.Signals(number).name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(1)
    assert signal.getsignal(number) == before
