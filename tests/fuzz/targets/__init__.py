"""The targets: each a module with `check(data)`, which raises when `data` brings about what must not be."""

import importlib
from collections.abc import Callable

Check = Callable[[bytes], None]

TARGETS = {
    "ledger-events": "POST /api/ledger-events, the whole app in process on Azurite: status, outcomes, log",
    "blocks": "what a node answers: blocks, lists of transactions, their order",
    "events": "the relay's events of a node's block, as the Function reads them",
    "answers": "the relay's verdict on an answer of the Function, or of what stands before it",
    "announcements": "frames of the event stream",
    "relay-settings": "the relay's environment: refused in one line without a secret, or usable",
    "function-settings": "the Function app's environment: the same",
    "transactions": "a car's transactions: parsed, their evidence verified, folded",
    "conditions": "conditions of outputs, and the fulfillments of inputs",
    "terms": "a car's description and a lease's terms",
}


def load(name: str) -> Check:
    """The check of a target."""
    check: Check = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").check
    return check
