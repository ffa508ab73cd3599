"""The command `sluiceway`. It sends commands to the services over NATS, and reads the streams itself.

- `main`: all commands; `session`: options, connection and errors of one invocation; `output`: what is printed
- `document_files`: YAML → models; `apply`: models → commands
- `get`, `check`, `watch`: the commands of these names; `current_state`: what they read
- `*_commands`: the commands of one noun, for example `sluiceway trigger …`
- `edits`: the changes that `gate set` and `config set` make to a feature
- `guardrail_table`: the measurements of guardrails as a table
"""
