"""Prompts in a folder and the platform's, brought to agree: what there is, what would change, and the change.

folder   which files are which prompts, by their place
plan     what has to be done about each (pure)
record   what was pushed, as events of the ledger
pushing  the work: hash, look, convert, push, fetch back, record
"""
