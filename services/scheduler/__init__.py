"""Hears commands and its own clock; says one event per decision, into FEATURES.

`handlers` answers commands; `ticker` holds the heap of deadlines; both call `decide` and try the
conditional write, through `decisions`. Replicas race, and one write wins.
"""
