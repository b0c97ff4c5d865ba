"""`pause` and `resume`: have the relay deliver nothing for a while, and go on where it was."""

from relay.commands.output import show
from relay.control import ControlTable
from relay.exits import Exit
from relay.settings import TablesSettings


def pause(settings: TablesSettings, *, as_json: bool) -> Exit:
    """Ask the relay to pause, now and after a restart. Raises TablesError."""
    table = ControlTable(settings)
    try:
        table.pause()
        since = table.paused_since()
    finally:
        table.close()
    line = "the relay pauses within seconds, and stays paused over restarts, until `resume`; nothing is lost meanwhile"
    show({"paused_since": since.isoformat() if since else None}, [line], as_json=as_json)
    return Exit.DONE


def resume(settings: TablesSettings, *, as_json: bool) -> Exit:
    """Ask the relay to go on. Raises TablesError."""
    table = ControlTable(settings)
    try:
        table.resume()
    finally:
        table.close()
    show({"paused_since": None}, ["the relay goes on within seconds, from its checkpoint"], as_json=as_json)
    return Exit.DONE
