"""Hostile input, found by coverage: `python -m tests.fuzz` runs atheris over the parsers and the relay's route.

`targets/` say what is read and what must hold whatever it is, `corpus/` are inputs that reach far, by target, and
`mutation.py` makes new ones of them. Every `make test` replays the corpus, without atheris. See docs/fuzzing.md.
"""
