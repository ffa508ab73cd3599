"""Rolls releases back: follows alerts, metrics, and FEATURES to know which releases are out.

- `guardrail_runner` measures guardrails, `due_phases` waits for the end of a bake, and
  `guardrail_actions` sends the command that follows from a verdict
- `clearance_subscription` takes the questions of schedulers: may this phase be left? `clearance_responder`
  answers them. It only reads, through `active_guardrails`
- `alertmanager` accepts alerts over HTTP and stores them in ALERTS, `alert_handler` answers them: the command
  comes first, `alert_matcher` finds for which releases, by the index `watched_releases`; `alert_consumer`
  takes them from the stream, and ends the process if they are not delivered any more
- `notifications` tells receivers what happened

An alert is acknowledged only once its command was answered, so that none is lost with a process.
FastStream declares what is received, and connects; messages are taken from its connections directly, since
what it does for each of them takes longer than the answer.
Replicas share the work: a round of measurements is stored conditionally, and counts once.
"""
