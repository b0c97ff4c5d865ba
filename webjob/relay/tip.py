"""Finds the highest block of a ledger that does not name it. Pure: it asks through a function."""

from collections.abc import Callable

from relay.errors import LedgerError

HIGHEST = 2**63
"""A node that shows a block above what 63 bits hold shows any."""


def find_tip(has_block: Callable[[int], bool], known: int) -> int:
    """The highest height that `has_block`; 0 where there is none.

    `known` is a height that is known to be there, or 0. It gallops up from it, 1, 2, 4, ... blocks ahead, and then
    bisects: about two times the binary logarithm of the distance in questions. A BigchainDB node has every block up to
    its tip, empty ones too; one that is added meanwhile may or may not be seen. Raises LedgerError for a node without
    a tip.
    """
    step = 1
    while has_block(known + step):
        known += step
        if known > HIGHEST:
            raise LedgerError(f"there is no end to the blocks that the node shows: it has block {known}")
        step *= 2
    beyond = known + step
    while beyond - known > 1:
        middle = (known + beyond) // 2
        if has_block(middle):
            known = middle
        else:
            beyond = middle
    return known
