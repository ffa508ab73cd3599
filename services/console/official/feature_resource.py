"""What gates and dynamic configs have in common: how a feature is read and changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from fastapi import HTTPException, Request

from sluiceway.contracts.commands import ArchiveFeature, SaveFeature
from sluiceway.contracts.feature import Feature, FeatureDocument
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.identity import Identity
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.pipelines.feature_documents import authored_document

from ..backend import ConsoleBackend
from .bodies import FeatureBody
from .documents import (
    EVERYONE,
    Rules,
    changed_document,
    ignored_fields,
    new_document,
    replaced_document,
    with_rules,
)
from .official_features import View, official_feature
from .responses import Listed, Single, pagination_of


@dataclass(frozen=True)
class FeatureResource(Generic[View]):
    """The features of one kind, for one caller. `command_id` is the id of the command that a call sends."""

    kind: FeatureKind
    #: How messages name a feature.
    noun: str
    view: type[View]
    backend: ConsoleBackend
    caller: Identity

    async def list(self, request: Request, pipeline: str | None, limit: int, page: int) -> Listed[View]:
        """Return a page of features, by name. Only the features of the page are parsed."""
        entries = sorted(
            (e for e in self.backend.features if e.key.kind is self.kind and pipeline in (None, e.pipeline)),
            key=lambda entry: entry.key.name,
        )
        on_page = entries[(page - 1) * limit : page * limit]
        creations = await self.backend.creators.of(entry.key for entry in on_page)
        return Listed(
            message=f"{self.noun}s listed",
            data=[official_feature(self.view, e.event, creations.get(e.key)) for e in on_page],
            pagination=pagination_of(request, len(entries), limit, page),
        )

    async def get(self, name: str) -> Single[View]:
        """Return a feature; 404 if it does not exist."""
        return await self._response(self._entry(name), f"{self.noun} found")

    async def create(self, name: str, body: FeatureBody, command_id: str) -> Single[View]:
        """Create a feature; 409 if it exists and is not archived."""
        known = self.backend.feature(self._key(name))
        if known and not known.archived and command_id not in known.recent_commands:
            raise HTTPException(409, f"{known.key} exists already; POST or PATCH it to change it")
        return await self._save(new_document(self.kind, name, body), command_id, ignored_fields(body))

    async def replace(self, name: str, body: FeatureBody, command_id: str) -> Single[View]:
        """Write a feature as a whole; its pipeline, id type and default stay unless the body names them."""
        document = replaced_document(self._live_document(name), body)
        return await self._save(document, command_id, ignored_fields(body))

    async def change(self, name: str, body: FeatureBody, command_id: str) -> Single[View]:
        """Change the fields of a live feature that the body names."""
        document = changed_document(self._live_document(name), body)
        return await self._save(document, command_id, ignored_fields(body))

    async def change_rules(
        self, name: str, command_id: str, change: Callable[[Rules], Rules]
    ) -> Single[View]:
        """Change the rules of a live feature."""
        live = self._live_document(name)
        return await self._save(with_rules(live, change(live.rules)), command_id)

    async def enable(self, name: str, command_id: str) -> Single[View]:
        """Enable a feature, through its pipeline if it has one."""
        document = self._live_document(name).model_copy(update={"is_enabled": True})
        return await self._save(document, command_id)

    async def disable(self, name: str, command_id: str) -> Single[View]:
        """Disable a feature immediately, without its pipeline: scripts use it to switch something off."""
        document = self._live_document(name).model_copy(update={"is_enabled": False})
        return await self._save(document, command_id, at_once=True)

    async def launch(self, name: str, command_id: str) -> Single[View]:
        """Release a gate to everyone immediately, without its pipeline."""
        update = {"is_enabled": True, "rules": (EVERYONE,)}
        document = self._live_document(name).model_copy(update=update)
        return await self._save(document, command_id, at_once=True)

    async def archive(self, name: str, command_id: str) -> Single[View]:
        """Remove a feature from every region."""
        self._entry(name)
        command = ArchiveFeature(id=command_id, actor=self.caller.name, kind=self.kind, name=name)
        await self.backend.execute(command, self.caller)
        return await self.get(name)

    async def unarchive(self, name: str, command_id: str) -> Single[View]:
        """Save what was live before the feature was archived, through its pipeline if it has one."""
        feature = self._feature(name)
        if not feature.archived:
            raise HTTPException(409, f"{feature.key} is not archived")
        return await self._save(authored_document(feature), command_id)

    async def _save(
        self,
        document: FeatureDocument,
        command_id: str,
        ignored: tuple[str, ...] = (),
        *,
        at_once: bool = False,
    ) -> Single[View]:
        command = SaveFeature(id=command_id, actor=self.caller.name, feature=document, at_once=at_once)
        await self.backend.execute(command, self.caller)
        entry = self._entry(document.name)
        trigger = entry.event.feature.active_trigger
        notice = trigger.pipeline.trigger_notice if trigger else None
        message = f"{self.noun} saved" + (f"; release {trigger.id} is active" if trigger else "")
        return await self._response(entry, message, notice, ignored)

    async def _response(
        self, entry: FeatureEntry, message: str, notice: str | None = None, ignored: tuple[str, ...] = ()
    ) -> Single[View]:
        creations = await self.backend.creators.of([entry.key])
        data = official_feature(
            self.view, entry.event, creations.get(entry.key), notice=notice, ignored=ignored
        )
        return Single(message=message, data=data)

    def _live_document(self, name: str) -> FeatureDocument:
        return authored_document(self._feature(name))

    def _feature(self, name: str) -> Feature:
        return self._entry(name).event.feature

    def _entry(self, name: str) -> FeatureEntry:
        entry = self.backend.features.get(self._key(name))
        if entry is None:
            raise HTTPException(404, f"{self.kind.replace('_', ' ')} {name!r} does not exist")
        return entry

    def _key(self, name: str) -> FeatureKey:
        return FeatureKey(self.kind, name)
