"""Checks infra/ as far as that can be done without Azure and without a Bicep compiler. Never deployed.

What is checked, and what only a compilation can tell, is in docs/decisions/0018.
"""
