"""Answers for users: rule documents compiled once into plain callables, free of I/O and locks.

- `bucketing`: unit → bucket
- `values`: what a user's value and a target are compared as
- `conditions`: one function per operator
- `compile`: rule document → callables
- `evaluate`: rules, feature, user → answer

The semantics are those of Statsig's Server Core SDKs (config specs `dcs-v2`), so that a user gets
the same answer here and there.
"""
