"""The relay: holds a BigchainDB node's event stream and forwards every car's transactions to the insurer's Function.

ledger, stream, delivery and checkpoint do the I/O; blocks, events, verdict and silence decide without any; loop puts
them together. It shares no code with the Function, only the contract in docs/contract.md.
"""
