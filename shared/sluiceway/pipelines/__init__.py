"""The state machine and the projection: pure functions that take the time as an argument and do no I/O.

- `decide`: state, command, now → event or refusal; with `feature_decisions` and `trigger_decisions`;
  `catalogue_decisions`: the same for the catalogue
- `actions`: the actions on a release, one row each; `transitions`, `approvals`, `rollbacks`: what they do
- `permissions`: which roles a command needs; `refusals`: every refusal, with its text
- `validation`: what is refused when it is saved, with `condition_errors`, `guardrail_errors`, `references`;
  `reference_graph`: what all features refer to, and what refers to them
- `document_changes`: what two versions differ in, and whether two edits can both hold
- `freezes`: when no phase may start; `spec_changes`: which environments a new version affects
- `segments`: whom a phase covers; `projection`: feature, region → rule document; `publish_checks`
- `simulation`: which region would receive a candidate in which phase
- `guardrail_schedule`, `guardrail_queries`, `measurement`, `guardrail_verdicts`, `thresholds`: guardrails
- `alert_matches`: which release an alert is about
"""
