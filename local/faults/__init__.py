"""A proxy that puts faults between two parts, switched on and off while they run.

`fault` names the faults, `proxy` opens links, `connection` carries one connection of a client to the server and back;
it knows HTTP by h11 and WebSocket by wsproto. `python -m local.faults` does the same by hand. Nothing here knows what
is relayed, but for the answers that a Function app and Table Storage give (`answers`).
"""
