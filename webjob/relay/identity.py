"""Whether the ledger at hand is the one on which the checkpoint was made."""

from relay.errors import LedgerError, LedgerMismatchError
from relay.ledger import Ledger
from relay.logs import fields, log
from relay.progress import Mark


def mismatch(found: str) -> LedgerMismatchError:
    """The error to stop with; `found` says what is wrong."""
    return LedgerMismatchError(
        f"{found}: it is another ledger, or it was reset. "
        "Set LEDGER_URLS to the right ledger, or LEDGER_NAME to a new name"
    )


def is_of_this_ledger(ledger: Ledger, mark: Mark) -> bool:
    """Whether a node has the checkpoint's block, and none has another block in its place.

    Every node is asked. Raises LedgerMismatchError when one shows other transactions in the last block that the
    checkpoint remembers: it belongs to another ledger, or the ledger was reset. Raises LedgerError when none answers.
    """
    if not mark.height:
        return True
    reached, faults = [], []
    for node in ledger.nodes():
        try:
            reached.append(_reaches(node, mark))
        except LedgerError as error:
            faults.append(error)
            log.warning("a node does not answer", extra=fields(reason=str(error)))
    if not reached:
        raise faults[0]
    return any(reached)


def _reaches(node: Ledger, mark: Mark) -> bool:
    if mark.anchor:
        anchor = node.block(mark.anchor_height)
        if anchor is not None and anchor.fingerprint != mark.anchor:
            raise mismatch(
                f"block {mark.anchor_height} of the node at {node.name} is not the one that the checkpoint was made on"
            )
    return node.block(mark.height) is not None
