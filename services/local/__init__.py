"""Runs every process on this machine, on an embedded broker or on an existing one.

- `broker`: a nats-server as a child process
- `processes`: a service as a child process, restarted when it ends
- `system`: all processes together, and `system.json`
- `up`: keeps the system running until Ctrl-C; `demo`: runs two releases in it
- `recorder`, `demo_record`: what happened in the demo
- `release_chart`, `propagation_chart`, `event_labels`, `chart_style`: draw that (needs matplotlib)
"""
