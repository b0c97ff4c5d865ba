"""The limit of listening: `python -m benchmarks.bare_stream URL COUNT` receives so many messages of an event stream.

It does nothing with them. With --relay it is the relay's own listener that receives them, alone. Either prints as one
JSON line how long they took from the first to the last, in seconds, and the CPU time of that.
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence

import msgspec
import websocket

TIMEOUT_S = 60.0


class Received(msgspec.Struct, frozen=True):
    """How many messages came, and what they took: seconds from the first to the last, and CPU seconds."""

    events: int
    seconds: float
    cpu: float

    @property
    def per_s(self) -> float:
        """Messages a second."""
        return self.events / self.seconds


def receive(url: str, count: int) -> Received:
    """Receive so many messages with websocket-client, and nothing else."""
    stream = websocket.create_connection(url, timeout=TIMEOUT_S)
    stream.recv()
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(count - 1):
        stream.recv()
    received = Received(count - 1, time.monotonic() - began, time.process_time() - cpu)
    stream.close()
    return received


def hear(url: str, count: int) -> Received:
    """The same by the relay's listener, which takes each message for a hint. Raises TimeoutError."""
    from relay.stream import Stream

    hints, marks = 0, [(0.0, 0.0)]
    is_over = threading.Event()

    def hint() -> None:
        # The first hint is that of the connection itself.
        nonlocal hints
        hints += 1
        if hints == 2:
            marks[0] = time.monotonic(), time.process_time()
        elif hints == count + 1:
            marks.append((time.monotonic(), time.process_time()))
            is_over.set()

    listener = Stream(lambda: url, hint)
    listener.start()
    if not is_over.wait(TIMEOUT_S):
        raise TimeoutError(f"{hints} of {count} messages came in {TIMEOUT_S:.0f} s")
    listener.close()
    (began, cpu), (ended, cpu_after) = marks
    return Received(count - 1, ended - began, cpu_after - cpu)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_stream", description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="the event stream's address")
    parser.add_argument("count", type=int, help="messages to receive")
    parser.add_argument("--relay", action="store_true", help="have the relay's listener receive them")
    asked = parser.parse_args(arguments)
    print(msgspec.json.encode((hear if asked.relay else receive)(asked.url, asked.count)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
