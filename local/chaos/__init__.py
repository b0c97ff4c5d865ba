"""`make chaos`: the whole path under random accidents, and the record held against the ledger at the end.

`history` draws what the lessors and drivers do, `schedule` what goes wrong and when; both are decided by a seed before
anything runs. `parts` are the running programs with a proxy between any two, `play` has both happen to them, `report`
tells what came of it.
"""
