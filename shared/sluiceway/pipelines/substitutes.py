"""What a region receives instead of a version that cannot be published.

It is never a candidate: one that is released may not reach every region yet, and one that was taken back
must not return.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ..contracts.feature import Feature, Spec, TriggerStatus

TAKEN_BACK = frozenset({TriggerStatus.ABORTED, TriggerStatus.ROLLED_BACK})


class LiveVersions(NamedTuple):
    """The versions that were live outside releases, newest first, and the triggers that were taken back."""

    specs: tuple[Spec, ...] = ()
    taken_back: frozenset[str] = frozenset()


def substitutes(feature: Feature, earlier: LiveVersions) -> Iterator[Feature]:
    """Yield what may be published instead of a feature, the best first.

    That is what is live outside its release, then what was live before, newest first, then nothing but
    its default. A version of a release that was taken back is left out.
    """
    live = feature.changed(candidate=None)
    if feature.candidate:
        yield live
    if feature.base is None:
        return
    trigger = feature.trigger
    ended = {trigger.id} if trigger and trigger.status in TAKEN_BACK else set[str]()
    for spec in earlier.specs:
        if spec.version != feature.base.version and spec.trigger not in earlier.taken_back | ended:
            yield live.changed(base=spec)
    yield live.changed(base=_default(feature.base))


def _default(spec: Spec) -> Spec:
    """Return a version that answers everybody with its default."""
    return spec.model_copy(update={"is_enabled": False, "rules": (), "ids": ()})
