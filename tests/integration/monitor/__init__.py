"""The monitor on a real broker: guardrails, clearance, the alert intake."""
