"""Hears alerts, and FEATURES to know which releases are under way; says the roll-back command.

An alert is acknowledged only once the command was answered, so that none is lost with a process.
"""
