"""Looks at processes from outside, through /proc: what CPU time they have had, and the memory that they hold."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

EVERY_S = 0.25

Pids = Mapping[str, int]
"""Process ids by the names of what runs in them."""


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process have had, in user mode and in the kernel. Raises OSError."""
    # Fields 14 and 15 of /proc/PID/stat, proc(5); the second one, a name in brackets, may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process (VmRSS), in MiB. Raises OSError, and StopIteration when it has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def all_cpu_seconds(pids: Pids) -> dict[str, float]:
    """The CPU time of each process."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def used_since(before: Mapping[str, float], pids: Pids) -> dict[str, float]:
    """The CPU seconds that each process has had since."""
    return {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}


class MemoryWatch(threading.Thread):
    """Notes the resident memory of processes every EVERY_S: `seen` has (seconds since the beginning, MiB) by name."""

    def __init__(self, pids: Pids) -> None:
        super().__init__(name="memory-watch", daemon=True)
        self.seen: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
        self._pids = pids
        self._is_over = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        began = time.monotonic()
        while True:
            for name, pid in self._pids.items():
                with suppress(OSError, StopIteration):
                    self.seen[name].append((time.monotonic() - began, resident_mib(pid)))
            if self._is_over.wait(EVERY_S):
                return

    def stop(self) -> None:
        """Look no more."""
        self._is_over.set()
        self.join()


@contextmanager
def watching_memory(pids: Pids) -> Iterator[MemoryWatch]:
    """Watch the memory of processes for the length of a with block."""
    watch = MemoryWatch(pids)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
