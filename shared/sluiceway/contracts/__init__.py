"""What crosses a wire: frozen models and names, no behaviour.

- `subjects`: every subject, stream, bucket and durable name
- `commands`, `replies`: what people, CI and the monitor ask for, and what they are told
- `events`: what happened to a feature, with its whole state after it (`feature`)
- `pipeline`, `catalogue`: what an author writes: pipelines, environments, regions
- `rules`: the rule document that a region receives
- `alerts`, `applied`: what the monitor hears, and what regions report
- `envelope`: the headers of all of them
"""
