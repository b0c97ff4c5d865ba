"""Reads the ledger's blocks in order, several ahead, from whichever node answers. It does not know what for."""

from collections.abc import Iterator
from functools import partial

import msgspec

from audit.patience import Patience
from relay.blocks import Block
from relay.errors import LedgerError
from relay.ledger import Ledger
from relay.reader import Reader

ATTEMPTS_A_NODE = 3
"""After so many faults in a row the next node is asked, whatever they were: one may lack what others have."""


class _SizedBlock(msgspec.Struct, frozen=True):
    block: Block
    size: int


class Blocks:
    """The blocks of a ledger, read in up to `workers` threads."""

    def __init__(self, ledger: Ledger, workers: int, patience: Patience) -> None:
        self._ledger = ledger
        self._workers = workers
        self._patience = patience
        self._faults = 0

    def between(self, first: int, last: int) -> Iterator[Block]:
        """The blocks `first` to `last`, which the ledger has. Raises LedgerError when no node shows one in time."""
        if first > last:
            return
        self._patience.until_done("the ledger's last block", lambda: self._show(last))

        def read(height: int) -> _SizedBlock | None:
            block = self._ledger.block(height) if height <= last else None
            return _SizedBlock(block, sum(len(one.raw) for one in block.transactions)) if block else None

        reader: Reader[_SizedBlock] = Reader(read, self._workers, self._patience.bell)
        try:
            for height in range(first, last + 1):
                yield self._patience.until_done("reading a block", partial(self._next, reader, height))
        finally:
            reader.stop()

    def _next(self, reader: Reader[_SizedBlock], height: int) -> Block:
        try:
            found = reader.next(height)
        except LedgerError:
            self._fail()
            raise
        if found is None:
            self._fail()
            raise LedgerError(f"the node at {self._ledger.name} does not show block {height} yet")
        self._faults = 0
        return found.block

    def _fail(self) -> None:
        self._faults += 1
        if self._faults % ATTEMPTS_A_NODE == 0:
            self._ledger.turn_to_next()

    def _show(self, height: int) -> None:
        """Have the node show a block: those well below it are then believed at once, empty ones too."""
        if not self._ledger.has_block(height):
            name = self._ledger.name
            self._ledger.turn_to_next()
            raise LedgerError(f"the node at {name} does not show block {height} yet")
