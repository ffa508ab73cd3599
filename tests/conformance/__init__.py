"""Differential test: our evaluator and the real `statsig-python-core` answer the same random questions.

- `payload.py`, `load.py`: a config-spec payload, and our evaluator on it
- `official_sdk.py`, `spec_server.py`: the real SDK on one payload, and the server that it downloads from
- `comparison.py`, `shrink.py`: ask both, count, and reduce a disagreement to the few rules that it takes
- `random_rule_sets.py`, `random_users.py`: whole rule sets (`generated_rule_set.py`), and users that fit them
- `random_conditions.py`, `random_targets.py`: conditions, their targets, and users' values likely to match
- `random_values.py`, `regexes.py`: unusual values and patterns
- `harmful_payloads.py`: payloads that harm the official SDK and must never be served
- `official_sdk_process.py`: the official SDK in a process of its own, which such a payload may crash
- `__main__.py`: `python -m tests.conformance --evaluations 1000000`
"""
