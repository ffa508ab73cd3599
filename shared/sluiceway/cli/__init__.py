"""The command `sluiceway`: it talks NATS, and decides nothing that the services decide.

- `main`: the commands; `session`: connection, output and errors of one call
- `documents`: YAML → models; `apply`: models → commands
- `get`, `views`: what there is, in the Console API's fields
- `features`, `triggers`, `alerts`, `catalogue`: quick changes and actions
- `edits`: what a quick change makes of a feature
- `check`, `simulate`, `watch`, `letters`: looking at things
"""
