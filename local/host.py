"""Runs the local Functions host on a Function app, this repository's or another folder's, on a free port of 127.0.0.1.

It may be killed or stopped, and started again at the same address.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.processes import ROOT, Child, announced, free_port, start

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Hosting:
    """What is served, and by what: the app's folder, the command that the host starts with, and where it is started.

    The command's Python has the host's packages and the app's; the folder and the port are added to it.
    """

    app: Path = ROOT
    command: Sequence[str] = (sys.executable, "-m", "local.functions_host")
    started_in: Path = ROOT


REPOSITORY = Hosting()


class FunctionsHost:
    """One Functions host with these App Settings. Raises ProcessError when it does not come up."""

    def __init__(self, log: Path, settings: Mapping[str, str], hosting: Hosting = REPOSITORY) -> None:
        self._log = log
        self._settings = settings
        self._hosting = hosting
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
        hosting = self._hosting
        argv = [*hosting.command, str(hosting.app), "--port", str(self._port), "--with-parent"]
        child = start("the Functions host", argv, log=self._log, env=self._settings, cwd=hosting.started_in)
        try:
            child.wait_until(announced, START_TIMEOUT_S)
        except BaseException:
            child.stop()
            raise
        return child
