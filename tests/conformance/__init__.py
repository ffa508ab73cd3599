"""Differential test: our evaluator and the real `statsig-python-core` answer the same random questions.

`values.py`, `regexes.py`   the odd values both sides meet
`targets.py`                per operator: a target, and user values likely to match it
`conditions.py`             random conditions, and the hints they leave for users
`generate.py`, `users.py`   whole rule sets (`rule_sets.py`), and users that fit them
`payload.py`, `load.py`     a config-spec payload, and our evaluator on it
`spec_server.py`            what the real SDK fetches from
`official.py`               the real SDK on one rule set
`compare.py`, `shrink.py`   ask both, count, and cut a disagreement down
`harmful.py`                rule sets that harm the official SDK: never to be served
`official_child.py`         the official SDK in a process that may die of one
`__main__.py`               `python -m tests.conformance --evaluations 1000000`
"""
