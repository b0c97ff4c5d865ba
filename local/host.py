"""Runs the local Functions host on this repository's app, on a free port of 127.0.0.1.

It may be killed or stopped, and started again at the same address.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from local.processes import ROOT, Child, announced, free_port, start

START_TIMEOUT_S = 60.0


class FunctionsHost:
    """One Functions host with these App Settings. Raises ProcessError when it does not come up."""

    def __init__(self, log: Path, settings: Mapping[str, str]) -> None:
        self._log = log
        self._settings = settings
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.child = self._start()

    def kill(self) -> None:
        """Kill -9: calls under way get no answer."""
        self.child.kill()

    def stop(self) -> None:
        """Stop it politely."""
        self.child.stop()

    def start_again(self) -> None:
        """Start it where it was. Raises ProcessError when it does not come up."""
        self.child = self._start()

    def _start(self) -> Child:
        argv = [sys.executable, "-m", "local.functions_host", str(ROOT), "--port", str(self._port), "--with-parent"]
        child = start("the Functions host", argv, log=self._log, env=self._settings)
        try:
            child.wait_until(announced, START_TIMEOUT_S)
        except BaseException:
            child.stop()
            raise
        return child
