"""What gates and dynamic configs have in common: how one is found, shown and changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import HTTPException, Request

from sluiceway.contracts.commands import ArchiveFeature, SaveFeature
from sluiceway.contracts.conditions import ConditionType
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, Spec
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.models import WireModel
from sluiceway.pipelines.feature_documents import authored_document

from ..backend import ConsoleBackend
from ..creators import Creation
from .bodies import KINDS, ConfigChange, GateChange, changes_of, ignored_in
from .responses import Listed, Single, pagination_of


class OfficialFeature(WireModel):
    """What a gate and a config have in common. `triggerID`, `notice` and `ignored` are our own."""

    id: str
    name: str
    is_enabled: bool
    description: str
    id_type: str
    #: In Progress, Launched, Disabled or Archived.
    status: str
    #: Features do not age here.
    type: str = "PERMANENT"
    type_reason: str = "NONE"
    tags: list[str] = []
    target_apps: list[str] = []
    release_pipeline_id: str | None
    #: Of what is live; 0 before the first version is.
    version: int
    last_modified_time: int
    last_modifier_id: str
    last_modifier_name: str
    #: These three are null where the log no longer says.
    created_time: int | None
    creator_id: str | None
    creator_name: str | None
    #: The release that is under way.
    trigger_id: str | None
    #: What the pipeline's author wants whoever has started a release to read.
    notice: str | None = None
    #: Fields of the request that have no effect here.
    ignored: list[str] = []


View = TypeVar("View", bound=OfficialFeature)
#: What writing a feature as a whole leaves as it is, unless it is named.
KEPT = ("releasePipelineID", "idType", "defaultValue")
EVERYONE = {"name": "everyone", "passPercentage": 100, "conditions": [{"type": "public"}]}


@dataclass(frozen=True)
class FeatureResource(Generic[View]):
    """The features of one kind, for one caller."""

    kind: FeatureKind
    noun: str
    view: Callable[..., View]
    backend: ConsoleBackend
    caller: Identity

    async def listed(self, request: Request, pipeline: str | None, limit: int, page: int) -> Listed[View]:
        """Return a page, by name. Only the features of the page are parsed."""
        entries = sorted(
            (e for e in self.backend.features if e.key.kind is self.kind and pipeline in (None, e.pipeline)),
            key=lambda entry: entry.key.name,
        )
        shown = entries[(page - 1) * limit : page * limit]
        creators = await self.backend.creators.of(entry.key for entry in shown)
        return Listed(
            message=f"{self.noun}s listed",
            data=[self.view(**_fields(entry.event, creators.get(entry.key))) for entry in shown],
            pagination=pagination_of(request, len(entries), limit, page),
        )

    async def one(self, name: str) -> Single[View]:
        entry, _ = self._entry(name)
        return Single(message=f"{self.noun} found", data=await self._shown(entry.event))

    async def created(self, name: str, body: GateChange | ConfigChange, command_id: str) -> Single[View]:
        """Create a feature; 409 where there is one that is not archived."""
        known = self.backend.feature(self._key(name))
        if known and not known.archived and command_id not in known.recent_commands:
            raise HTTPException(409, f"there is a {known.key} already; POST or PATCH it to change it")
        document = {"rules": [], **changes_of(body), "kind": KINDS[self.kind], "name": name}
        return await self._saved(document, command_id, ignored_in(body))

    async def replaced(self, name: str, body: GateChange | ConfigChange, command_id: str) -> Single[View]:
        """Write a feature as a whole; its pipeline and what it counts by stay, unless they are named."""
        live = self._live(name)
        kept = {field: live[field] for field in KEPT if field in live}
        document: dict[str, Any] = {**kept, **changes_of(body), "kind": KINDS[self.kind], "name": name}
        return await self._saved(document, command_id, ignored_in(body))

    async def changed(self, name: str, body: GateChange | ConfigChange, command_id: str) -> Single[View]:
        """Change what a body names of a feature as it is live."""
        return await self._saved({**self._live(name), **changes_of(body)}, command_id, ignored_in(body))

    async def with_rules(
        self, name: str, command_id: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
    ) -> Single[View]:
        """Change the rules of a feature as it is live."""
        live = self._live(name)
        return await self._saved({**live, "rules": change(live["rules"])}, command_id, [])

    async def switched(self, name: str, command_id: str, *, on: bool) -> Single[View]:
        """Switch a feature on along its pipeline, or off at once: the API's switch starts no release."""
        document = {**self._live(name), "isEnabled": on}
        return await self._saved(document, command_id, [], at_once=not on)

    async def launched(self, name: str, command_id: str) -> Single[View]:
        """Give a gate to everyone at once, past its pipeline."""
        document = {**self._live(name), "isEnabled": True, "rules": [EVERYONE]}
        return await self._saved(document, command_id, [], at_once=True)

    async def archived(self, name: str, command_id: str) -> Single[View]:
        self._entry(name)
        await self.backend.act(ArchiveFeature, self.caller, id=command_id, kind=self.kind, name=name)
        return await self.one(name)

    async def unarchived(self, name: str, command_id: str) -> Single[View]:
        """Save what was live before the feature was archived; along its pipeline, if it has one."""
        _, feature = self._entry(name)
        if not feature.archived:
            raise HTTPException(409, f"{feature.key} is not archived")
        return await self._saved(self._live(name), command_id, [])

    async def _saved(
        self, document: dict[str, Any], command_id: str, ignored: list[str], *, at_once: bool = False
    ) -> Single[View]:
        await self.backend.act(SaveFeature, self.caller, id=command_id, feature=document, at_once=at_once)
        entry, feature = self._entry(document["name"])
        trigger = feature.active_trigger
        notice = trigger.pipeline.trigger_notice if trigger else None
        message = f"{self.noun} saved" + (f"; {trigger.id} is under way" if trigger else "")
        return Single(message=message, data=await self._shown(entry.event, notice=notice, ignored=ignored))

    async def _shown(self, event: FeatureEvent, **fields: Any) -> View:
        creators = await self.backend.creators.of([event.feature.key])
        return self.view(**_fields(event, creators.get(event.feature.key)), **fields)

    def _live(self, name: str) -> dict[str, Any]:
        """Return a feature as it is live, as its author would write it."""
        _, feature = self._entry(name)
        return authored_document(feature).to_jsonable()

    def _entry(self, name: str) -> tuple[Any, Feature]:
        entry = self.backend.features.get(self._key(name))
        if entry is None:
            raise HTTPException(404, f"there is no {self.kind.replace('_', ' ')} {name}")
        return entry, entry.event.feature

    def _key(self, name: str) -> FeatureKey:
        return FeatureKey(self.kind, name)


def index_of(rules: list[dict[str, Any]], id_: str) -> int:
    """Return the place of the rule with this id, or else name; 404 where there is none."""
    for field in ("id", "name"):
        for index, rule in enumerate(rules):
            if rule.get(field) == id_:
                return index
    known = ", ".join(rule.get("id") or rule["name"] for rule in rules) or "none"
    raise HTTPException(404, f"there is no rule {id_!r} (known: {known})")


def _fields(event: FeatureEvent, creation: Creation | None) -> dict[str, Any]:
    """Return a feature as it is live; one that never was, as it is being released."""
    feature = event.feature
    spec = feature.base or feature.candidate
    trigger = feature.active_trigger
    fields: dict[str, Any] = {
        "id": feature.name,
        "name": feature.name,
        "is_enabled": bool(spec and spec.is_enabled),
        "description": spec.description if spec else "",
        "id_type": spec.id_type if spec else "userID",
        "status": _status(feature, spec),
        "release_pipeline_id": feature.release_pipeline_id,
        "version": feature.base.version if feature.base else 0,
        "last_modified_time": event.time_ms,
        "last_modifier_id": event.actor_id,
        "last_modifier_name": event.actor_id,
        "created_time": creation.created_ms if creation else None,
        "creator_id": creation.creator if creation else None,
        "creator_name": creation.creator if creation else None,
        "trigger_id": trigger.id if trigger else None,
        "rules": feature.base.rules if feature.base else (),
    }
    if feature.kind is FeatureKind.DYNAMIC_CONFIG:
        fields["default_value"] = feature.base.default_value if feature.base else {}
    return fields


def _status(feature: Feature, spec: Spec | None) -> str:
    if feature.archived:
        return "Archived"
    if feature.active_trigger:
        return "In Progress"
    if spec is None or not spec.is_enabled:
        return "Disabled"
    return "Launched" if _is_for_everyone(spec) else "In Progress"


def _is_for_everyone(spec: Spec) -> bool:
    first = spec.rules[0] if spec.rules else None
    return (
        first is not None
        and first.pass_percentage == 100
        and not first.environments
        and all(condition.type is ConditionType.PUBLIC for condition in first.conditions)
    )
