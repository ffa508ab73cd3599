"""All contact with NATS: connections, streams, and the logs that are appended and followed.

- `connection`: connect, and notify listeners of reconnects
- `streams`: declare every stream and bucket
- `publishing`: append and publish to streams; the names of NATS headers
- `stream_follower`: the last message of every subject, then each new one, across any outage: by one
  `stream_consumer` after the other, while `stream_history` says that it is the same stream, and
  `history_loss` that no broker is just behind; as `stream_records`, kept in memory by a `stream_view`
- `reply_inbox`, `shared_request`, `batched_requests`, `leader_reads`: what is asked of the broker, for many
  at the same time
- `history`: every message of a subject
- `feature_log`: append and read the events of features; `feature_view`: the newest ones, in memory;
  `feature_indexes`: what is known of all of them without a walk; `decision_view`: what decisions need of it
- `catalogue_store`: environments, regions, pipelines, freezes and keys
- `rule_store`: rule documents, written with compare-and-set, as `rule_table` remembers them;
  `checkpoint_store`: what is proved of them; `rules_streams`, `rules_places`: which streams hold them
- `measurement_store`: rounds and verdicts of guardrails
- `command_client`: send a command and wait for its reply
- `feature_edits`: change a feature that others change too; `stale_readings`: what they have changed
- `delivery`: refuse, retry or reject a message that cannot be handled; `dead_letters`: what was rejected
"""
