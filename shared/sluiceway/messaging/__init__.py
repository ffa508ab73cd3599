"""All contact with NATS: one connection, a declared topology, logs that are appended and followed.

- `connection`: connect, and tell who wants to know that the connection came back
- `topology`: declares every stream and bucket
- `following`: the last message of every subject, then each new one, across any outage
- `feature_log`: conditional append, read, history; `feature_view`: what was followed, in memory
- `catalogue_store`: environments, regions, pipelines
- `rule_store`: rule documents, written with compare-and-set
- `dead_letters`: what was rejected, and why; `delivery`: refused, retried, or rejected
- `commanding`: the asking side of a command
"""
