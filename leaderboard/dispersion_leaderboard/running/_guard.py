"""Runs a command, and ends it where whoever started it is gone: run by its path, with nothing of ours imported.

Its standard input is a pipe whose other end the starter holds; it closes with the starter, however that ends.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _watch(child: int) -> None:
    while os.read(0, 1024):
        pass
    # First what has left the group: it is found only while its parents are there, and with the child all is over here.
    for process in psutil.Process().children(recursive=True):
        if process.pid != child:
            with suppress(psutil.Error):
                process.kill()
    os.killpg(0, signal.SIGKILL)


def _end_with_guard() -> None:
    """In the child: where the guard itself is killed, nobody else would end it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    # No thread has been started yet, so that code may run between fork and exec.
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_end_with_guard)
    # The whole group is asked to end at once; what it answers is the child's affair.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(child.pid,), daemon=True).start()
    code = child.wait()
    # At once: the watching thread is still waiting.
    os._exit(code if code >= 0 else 128 - code)
