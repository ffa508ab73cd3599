"""Which alerts may concern a release, as short keys: an index of them finds it without reading the release.

A key is the checksum of one label and its value. A release has groups of keys, and an alert may concern it
only if it has all keys of one group, or names the feature. Different labels may have the same key: so
`match_alert` decides about what the keys find.
"""

import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import starmap

from ..contracts.alerts import Alert
from ..contracts.feature import Trigger
from ..contracts.guardrails import AlertGuardrail
from ..contracts.identifiers import FeatureKey, FeatureKind
from .alert_matches import DYNAMIC_CONFIG, GATE, PIPELINE, guardrail_labels

KeyGroup = tuple[str, ...]

#: Keys of a release, over all groups. With more, every alert that names nothing may concern it.
KEYS_MAX = 100
#: Headers whose keys are remembered: the releases of one pipeline share the texts.
HEADERS_MAX = 1_000
#: Labels whose keys are remembered, since each event of a release has them again, and how long they may be.
LABELS_MAX, KNOWN_LENGTH_MAX = 10_000, 200
#: The group that every alert has which names neither a feature nor a pipeline.
ANY_ALERT: KeyGroup = ()


def release_keys(trigger: Trigger) -> tuple[KeyGroup, ...]:
    """Return the groups of keys of a release: of its pipeline (id and name), and of alert guardrails."""
    pipeline = trigger.pipeline
    named = ((_key(PIPELINE, pipeline.id),), (_key(PIPELINE, pipeline.name),))
    groups = tuple(dict.fromkeys((*named, *_guardrail_groups(trigger))))
    return groups if sum(map(len, groups)) <= KEYS_MAX else tuple(dict.fromkeys((*named, ANY_ALERT)))


def alert_keys(alert: Alert) -> frozenset[str]:
    """Return the keys of an alert: only that of the pipeline, if it names one; none, if it names a feature.

    A release has to be what the alert names, so that its other labels find nothing more.
    """
    if GATE in alert.labels or DYNAMIC_CONFIG in alert.labels:
        return frozenset()
    if PIPELINE in alert.labels:
        return frozenset((_key(PIPELINE, alert.labels[PIPELINE]),))
    return frozenset(_key(label, value) for label, value in guardrail_labels(alert).items())


def named_features(alert: Alert) -> Iterator[FeatureKey]:
    """Yield the features that an alert names by its labels; a name that no feature can have is left out."""
    for label, kind in ((GATE, FeatureKind.GATE), (DYNAMIC_CONFIG, FeatureKind.DYNAMIC_CONFIG)):
        if label in alert.labels:
            yield FeatureKey(kind, alert.labels[label])


def header_of_keys(groups: tuple[KeyGroup, ...]) -> str:
    """Return groups of keys as one text: `aaaa bbbb+cccc *`."""
    return " ".join("+".join(group) or "*" for group in groups)


@lru_cache(maxsize=HEADERS_MAX)
def keys_of_header(text: str) -> tuple[KeyGroup, ...]:
    """Return the groups of keys in a text that `header_of_keys` gave."""
    return tuple(ANY_ALERT if group == "*" else tuple(group.split("+")) for group in text.split())


def _guardrail_groups(trigger: Trigger) -> Iterator[KeyGroup]:
    for run in trigger.phases:
        for guardrail in run.phase.guardrails:
            if isinstance(guardrail, AlertGuardrail):
                yield tuple(starmap(_key, sorted(guardrail.alert.match_labels.items())))


def _key(label: str, value: str) -> str:
    is_short = len(label) + len(value) <= KNOWN_LENGTH_MAX
    return _known_key(label, value) if is_short else _checksum(label, value)


@lru_cache(maxsize=LABELS_MAX)
def _known_key(label: str, value: str) -> str:
    return _checksum(label, value)


def _checksum(label: str, value: str) -> str:
    text = f"{label}={value}".encode("utf-8", "surrogatepass")
    return f"{zlib.crc32(text):08x}"
