"""Hears its region's RULES; says what it has applied, into APPLIED.

Serves its last good rules from disk from the first moment, also with every other process dead.
"""
