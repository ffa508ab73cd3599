"""Hears alerts, metrics, and FEATURES to know which releases are out; says the commands that follow.

- `watching` measures guardrails, `acting` does what follows from them, `clearing` answers schedulers
- `notifying` tells receivers what happened
- `alertmanager` takes alerts over HTTP, `handlers` answers those in ALERTS

An alert is acknowledged only once its command was answered, so that none is lost with a process.
Replicas share the work: a round of measurements is stored conditionally, and counts once.
"""
