"""Evaluates features for users: rules are compiled once into plain callables, free of I/O and locks.

- `rule_set`: rules, feature, user → value; start here
- `results`, `outcomes`: what is returned, and what is prepared for it when rules are compiled
- `compiler`, `compiled_rules`, `compiled_conditions`: specs → rules → tests of a user
- `registry`, `nested_gates`: features that refer to others: each evaluated once, and not too deep
- `operators`, `times`, `versions`, `patterns`, `regex_dialect`: one function per operator
- `users`, `values`: where a value is found in a user, and what it is compared as
- `bucketing`: unit → bucket, for percentages

The semantics are those of Statsig's Server Core SDKs (config specs `dcs-v2`), so that a user gets
the same value from both.
"""
