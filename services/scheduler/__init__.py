"""Turns commands and deadlines into events: one conditional append to FEATURES per decision.

- `command_intake`: commands wait for their sender's turn (`senders`) before they are read;
  `command_subscriptions`: a flooding key is not listened to; `storage_budget`: bytes that a sender may store
- `command_handlers`: answers commands; `authentication`: who sent one
- `audited_commands`: refusals, and what happens to keys, for the stream AUDIT
- `command_processor`: load the state, decide, append; decide again if another writer came first
- `side_thread`: decodes, validates and projects large documents beside the event loop
- `phase_deadlines`: advances phases whose bake is over, once `clearance_client` says that nothing holds them:
  no guardrail, no region without the rules (`published_rules`), no instance (`confirmations`)
- `app`: wires it all; `settings`: the environment

Replicas race, and one write wins: they need neither a leader nor a lock.
"""
