"""What services exchange, and what people write: frozen models that validate themselves, and names.

A model parses, validates and derives values from its own fields. It looks at no other document, and
decides nothing: that is done in `pipelines`.

- `subjects`, `envelope`: every subject, stream and bucket, and the headers of messages
- `commands`, `replies`: what people, CI and the monitor ask for, and what they receive
- `events`, `feature`: what happened to a feature, and its whole state after it
- `pipeline`, `conditions`, `guardrails`, `freeze`, `catalogue`: the documents that people write
- `revisions`: which state of a document somebody has read
- `identity`: roles, grants and keys
- `rule_document`, `applied_reports`: what a region receives, and what it reports
- `alerts`, `measurements`: what the monitor receives, and what it measures
- `identifiers`, `durations`, `models`, `validation_errors`: what the others share
"""
