"""Draws a recorded run as one SVG file; pure, from a `Run` to text.

- `page`: the whole picture; `style`: its colours, light and dark
- `timeline`: one release; `flags`: what happened during it
- `rollback`: the last milliseconds of one that was taken back, enlarged
- `propagation`: from events to regions
- `drawing`: elements, scales and ticks
"""
