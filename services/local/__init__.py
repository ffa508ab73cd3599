"""Starts every process, on an embedded broker or a given one.

- `broker`: a real nats-server as a child
- `processes`: a service as a child, started again when it dies
- `system`: all of them together, and `system.json`
- `up`: keeps it running; `demo`: runs two releases through it
- `recorder`: follows what happens; `record`: what is known of it; `picture`: draws that
"""
