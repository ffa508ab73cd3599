"""What gates and dynamic configs have in common: how a feature is read and changed.

Every change but a creation is a function of the newest state: if somebody else has changed the feature
meanwhile, it is made again, so that both changes hold, or it is refused.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from fastapi import HTTPException, Request, Response

from sluiceway.contracts.commands import ArchiveFeature, IdempotencyKey, SaveFeature
from sluiceway.contracts.feature import Feature, FeatureDocument
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.replies import Reply
from sluiceway.contracts.revisions import NOTHING_STORED
from sluiceway.messaging.feature_edits import FeatureEdit
from sluiceway.messaging.feature_view import FeatureEntry

from ..backend import ConsoleBackend
from ..dependencies import ChangeHeaders
from ..preconditions import entity_tag
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
    """The features of one kind, for one caller; `response` gets the ETag of the feature in it."""

    kind: FeatureKind
    #: How messages name a feature.
    noun: str
    view: type[View]
    backend: ConsoleBackend
    caller: Identity
    response: Response

    async def list(self, request: Request, pipeline: str | None, limit: int, page: int) -> Listed[View]:
        """Return a page of features, by name. Only the features of the page are parsed."""
        features, keys = self.backend.features, self.backend.names.sorted(self.kind)
        if pipeline is not None:
            keys = [key for key in keys if (e := features.get(key)) and e.pipeline == pipeline]
        found = map(features.get, keys[(page - 1) * limit : page * limit])
        total, on_page = len(keys), [entry for entry in found if entry]
        creations = await self.backend.creators.of(entry.key for entry in on_page)
        views = []
        for entry in on_page:
            views.append(official_feature(self.view, entry.event, creations.get(entry.key)))
            await asyncio.sleep(0)  # a feature may be large: others are answered in between
        return Listed(
            message=f"{self.noun}s listed",
            data=views,
            pagination=pagination_of(request, total, limit, page),
        )

    async def get(self, name: str) -> Single[View]:
        """Return a feature; 404 if it does not exist."""
        return await self._response(self._entry(name), f"{self.noun} found")

    async def create(self, name: str, body: FeatureBody, command_id: str) -> Single[View]:
        """Create a feature; 409 if it exists and is not archived."""
        entry = self.backend.features.get(self._key(name))
        known = entry.event.feature if entry else None
        if known and not known.archived and not self._was_applied(command_id, known):
            raise HTTPException(409, f"{known.key} exists already; POST or PATCH it to change it")
        command = SaveFeature(
            id=command_id,
            actor=self.caller.name,
            feature=new_document(self.kind, name, body),
            expected_revision=entry.revision_tag if entry else NOTHING_STORED,
        )
        await self.backend.execute(command, self.caller)
        return await self._saved(name, ignored_fields(body))

    async def replace(self, name: str, body: FeatureBody, headers: ChangeHeaders) -> Single[View]:
        """Write a feature as a whole; its pipeline, id type and default stay unless the body names them."""
        await self._edit(name, headers, lambda live: replaced_document(live, body))
        return await self._saved(name, ignored_fields(body))

    async def change(self, name: str, body: FeatureBody, headers: ChangeHeaders) -> Single[View]:
        """Change the fields of a live feature that the body names."""
        await self._edit(name, headers, lambda live: changed_document(live, body))
        return await self._saved(name, ignored_fields(body))

    async def change_rules(
        self, name: str, headers: ChangeHeaders, change: Callable[[Rules], Rules]
    ) -> Single[View]:
        """Change the rules of a live feature."""
        await self._edit(name, headers, lambda live: with_rules(live, change(live.rules)))
        return await self._saved(name)

    async def enable(self, name: str, headers: ChangeHeaders) -> Single[View]:
        """Enable a feature, through its pipeline if it has one."""
        await self._edit(name, headers, lambda live: live.model_copy(update={"is_enabled": True}))
        return await self._saved(name)

    async def disable(self, name: str, headers: ChangeHeaders) -> Single[View]:
        """Disable a feature immediately, without its pipeline: scripts use it to switch something off."""

        def off(live: FeatureDocument) -> FeatureDocument:
            return live.model_copy(update={"is_enabled": False})

        await self._edit(name, headers, off, at_once=True, is_forced=True)
        return await self._saved(name)

    async def launch(self, name: str, headers: ChangeHeaders) -> Single[View]:
        """Release a gate to everyone immediately, without its pipeline."""
        update = {"is_enabled": True, "rules": (EVERYONE,)}
        await self._edit(name, headers, lambda live: live.model_copy(update=update), at_once=True)
        return await self._saved(name)

    async def archive(self, name: str, headers: ChangeHeaders) -> Single[View]:
        """Remove a feature from every region."""
        self._entry(name)
        command = ArchiveFeature(id=headers.command_id, actor=self.caller.name, kind=self.kind, name=name)
        await self.backend.execute(command, self.caller, headers.preconditions)
        return await self.get(name)

    async def unarchive(self, name: str, headers: ChangeHeaders) -> Single[View]:
        """Save what was live before the feature was archived, through its pipeline if it has one."""
        feature = self._entry(name).event.feature
        if not feature.archived and not self._was_applied(headers.command_id, feature):
            raise HTTPException(409, f"{feature.key} is not archived")
        await self._save_edit(name, headers, lambda live: live, is_unarchiving=True)
        return await self._saved(name)

    async def _edit(
        self,
        name: str,
        headers: ChangeHeaders,
        change: Callable[[FeatureDocument], FeatureDocument],
        *,
        at_once: bool = False,
        is_forced: bool = False,
    ) -> Reply:
        """Edit a live feature: an edit does not bring back what somebody has archived."""
        feature = self._entry(name).event.feature
        if feature.archived and not self._was_applied(headers.command_id, feature):
            raise HTTPException(409, f"{feature.key} is archived; unarchive it first")
        return await self._save_edit(name, headers, change, at_once=at_once, is_forced=is_forced)

    async def _save_edit(
        self,
        name: str,
        headers: ChangeHeaders,
        change: Callable[[FeatureDocument], FeatureDocument],
        *,
        at_once: bool = False,
        is_forced: bool = False,
        is_unarchiving: bool = False,
    ) -> Reply:
        edit = FeatureEdit(
            id=headers.command_id,
            actor=self.caller.name,
            identity=self.caller,
            change=change,
            at_once=at_once,
            is_forced=is_forced,
            is_unarchiving=is_unarchiving,
        )
        key = self._entry(name).key
        return await self.backend.edit_feature(key, edit, self.caller, headers.preconditions)

    async def _saved(self, name: str, ignored: tuple[str, ...] = ()) -> Single[View]:
        entry = self._entry(name)
        trigger = entry.event.feature.active_trigger
        notice = trigger.pipeline.trigger_notice if trigger else None
        message = f"{self.noun} saved" + (f"; release {trigger.id} is active" if trigger else "")
        return await self._response(entry, message, notice, ignored)

    async def _response(
        self, entry: FeatureEntry, message: str, notice: str | None = None, ignored: tuple[str, ...] = ()
    ) -> Single[View]:
        self.response.headers["ETag"] = entity_tag(entry.revision_tag)
        creations = await self.backend.creators.of([entry.key])
        data = official_feature(
            self.view, entry.event, creations.get(entry.key), notice=notice, ignored=ignored
        )
        return Single(message=message, data=data)

    def _entry(self, name: str) -> FeatureEntry:
        entry = self.backend.features.get(self._key(name))
        if entry is None:
            raise HTTPException(404, f"{self.kind.replace('_', ' ')} {name!r} does not exist")
        return entry

    def _was_applied(self, command_id: str, feature: Feature) -> bool:
        key = IdempotencyKey(command_id, self.caller.name, self.caller)
        return key.is_among(feature.recent_commands)

    def _key(self, name: str) -> FeatureKey:
        return FeatureKey(self.kind, name)
