"""Each role's credentials against everything that they may not do, on the broker with users and permissions.

- `roles`: one row per role: how it connects, and what it may do; a new row is tested with everything
- `everything`: what can be done, generated from our own tables: commands, streams, JetStream's API
- `worst_input`: per role, the worst that it may send; another's abort is answered meanwhile
- `test_endless_attacks`: the same for longer, each process on its own; `make test-hostile` alone
- `attacker`: sends it without an end, as a process; `releases`: what is aborted
- `conftest`: the system that they attack

`make test` runs a short form, `make test-hostile` all of it (marker `hostile`).
"""
