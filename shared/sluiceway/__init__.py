"""Sluiceway: release pipelines for feature gates and dynamic configs.

Read `contracts/subjects.py`, then `contracts/events.py`, `pipelines/decide.py` and
`pipelines/projection.py`: what the services exchange, and the two pure functions that decide it.
"""

from importlib.metadata import version

__version__ = version("sluiceway")
