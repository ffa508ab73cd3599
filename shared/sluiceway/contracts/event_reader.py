"""Parses events; a plan that many of them have is parsed once.

The plan is most of a release: to parse it takes two thirds of the time, and of the memory.
"""

import contextlib
import threading
from typing import Any, NamedTuple

import msgspec
from cachetools import LRUCache
from pydantic import ValidationError

from .events import FeatureEvent
from .pipeline import PHASES_MAX
from .plans import Plan

#: Bytes of the plans that are remembered: some four hundred of usual size. A parsed one takes nine times as
#: much. A larger one is parsed with each event that has it.
PLANS_BYTES_MAX = 1024 * 1024
#: What stands in place of a pipeline, and of each phase.
_NUMBERS = tuple(msgspec.Raw(str(number).encode()) for number in range(PHASES_MAX))

_Object = dict[str, msgspec.Raw]
_OBJECT = msgspec.json.Decoder(_Object)
_OBJECTS = msgspec.json.Decoder(list[_Object])
_ENCODER = msgspec.json.Encoder()

#: The JSON of a pipeline, and of the phase of each run.
_PlanText = tuple[bytes, ...]


class _Parts(NamedTuple):
    """The JSON of an event, taken apart."""

    plan: _PlanText
    #: With numbers in place of the plan.
    rest: bytes


class _KnownPlan(NamedTuple):
    plan: Plan
    #: Bytes of its JSON.
    size: int


class EventReader:
    """Parses events, and remembers the plans that were used last. Any thread may use it."""

    def __init__(self, plans_bytes_max: int = PLANS_BYTES_MAX) -> None:
        self._plans: LRUCache[_PlanText, _KnownPlan] = LRUCache(
            plans_bytes_max, getsizeof=lambda known: known.size
        )
        self._lock = threading.Lock()

    def read(self, data: bytes) -> FeatureEvent:
        """Return the event in `data`; raise pydantic's `ValidationError` if it is invalid.

        Fields that this version does not know are ignored.
        """
        parts = _take_apart(data)
        with self._lock:
            known = self._plans.get(parts.plan) if parts else None
        if parts and known:
            with contextlib.suppress(ValidationError):  # the whole text is invalid as well, and says where
                return FeatureEvent.model_validate_json(parts.rest, extra="ignore", context=known.plan)
        event = FeatureEvent.model_validate_json(data, extra="ignore")
        if parts and event.feature.trigger:
            self._remember(parts.plan, event)
        return event

    def _remember(self, text: _PlanText, event: FeatureEvent) -> None:
        trigger = event.feature.trigger
        assert trigger
        plan = Plan(trigger.pipeline, tuple(run.phase for run in trigger.phases))
        with self._lock, contextlib.suppress(ValueError):  # a plan that is larger than all that may be kept
            self._plans[text] = _KnownPlan(plan, sum(map(len, text)))


def _take_apart(data: bytes) -> _Parts | None:
    """Return the parts of an event; None if it has no trigger, or is not of the usual form."""
    try:
        event: dict[str, Any] = _OBJECT.decode(data)
        feature: dict[str, Any] = _OBJECT.decode(event["feature"])
        trigger: dict[str, Any] = _OBJECT.decode(feature["trigger"])
        runs: list[dict[str, Any]] = _OBJECTS.decode(trigger["phases"])
        plan = (bytes(trigger["pipeline"]), *(bytes(run["phase"]) for run in runs))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        return None
    if len(runs) > PHASES_MAX:
        return None
    for run, number in zip(runs, _NUMBERS, strict=False):
        run["phase"] = number
    rest = {**event, "feature": {**feature, "trigger": {**trigger, "pipeline": _NUMBERS[0], "phases": runs}}}
    return _Parts(plan, _ENCODER.encode(rest))
