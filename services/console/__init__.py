"""The console: the HTTP APIs and the web page, for users with a key or a session.

Follows FEATURES, CATALOG, RULES, APPLIED and the guardrails' streams; sends commands. It decides
nothing, and stores nothing but credentials, which are documents of the catalogue.

- `app`: builds the application; `settings`: its environment; `bootstrap`: the first key
- `backend`: what every route reads from, and the one way to execute a command
- `command_executor`: how a command is executed that was made from a reading; with `preconditions`, `turns`
- `region_view`, `release_index`, `creators`, `audit`: answers from the streams
- `sent_rules`, `instance_reports`: what each region was sent, and has applied; `held_rules`: that, packed
- `feature_lists`: features and releases in the order in which pages list them
- `audit_recorder`: sign-ins, the use of keys and refusals, for the stream AUDIT
- `event_stream`: server-sent events
- `authentication`, `hash_queue`, `csrf`, `oidc`: who sends a request
- `sessions`, `ended_sessions`: who is signed in
- `dependencies`, `limits`, `reading_turns`, `middleware`, `errors`, `request_metrics`: what all routes share
- `official`: the Console API under `/console/v1`, field for field
- `api`: our own API under `/api/v1`
- `pages`: the web page
"""
