"""The state machine and the projection: pure functions, given the time, knowing no I/O.

- `decide`: state, command, now → event or refusal; `transitions`: what each does to a trigger
- `changes`: which environments a new version touches
- `validation`: what is refused when it is saved
- `segments`: who a phase covers; `projection`: feature, region → rule document
- `simulation`: which region would receive a candidate in which phase
- `matching`: which trigger an alert is about
"""
