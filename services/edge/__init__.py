"""Hears its region's RULES and the keys of CATALOG; says what it has applied, into APPLIED; answers HTTP.

Serves its last good rules from disk from the first moment, also with every other process dead.

- `specs`: the rules as one payload, and waiting for the next
- `statsig`: what official SDKs ask for; `polls`: what they have applied
- `ofrep`: what OpenFeature's clients ask for
- `grpc_stream`: the same payload, streamed
- `keys`, `limits`: who may ask, and how much
"""
