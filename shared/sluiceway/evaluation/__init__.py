"""Answers for users: rules compiled once into plain callables, free of I/O and locks.

- `evaluate`: rules, feature, user → answer; start here
- `answers`, `verdicts`: what is answered, and what is made for it beforehand
- `compile`, `rules`, `conditions`: specs → rules → tests of a user
- `nesting`: gates within gates: each once, and not too deep
- `operators`, `times`, `versions`, `patterns`, `dialect`: one function per operator
- `users`, `values`: whom is asked about, and what its values are compared as
- `bucketing`: unit → bucket

The semantics are those of Statsig's Server Core SDKs (config specs `dcs-v2`), so that a user gets
the same answer here and there.
"""
