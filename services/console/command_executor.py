"""Executes commands and edits: on the revision that their sender has read, or else on the newest one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nats.js import JetStreamContext

from sluiceway.contracts.commands import Command, FeatureCommand, SavePipeline
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import Outcome, Refusal, Reply
from sluiceway.contracts.revisions import NOTHING_STORED, RevisionTag
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.feature_edits import FeatureEdit, FeatureReading, send_edit
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.stale_readings import explain_stale, explain_stale_document
from sluiceway.messaging.stall_retries import STALL_SECONDS_MAX, through_stalls
from sluiceway.pipelines import refusals
from sluiceway.pipelines.catalogue_decisions import document_of
from sluiceway.pipelines.document_changes import edit_fits
from sluiceway.turns import Turns

from .errors import PRECONDITION_FAILED, CommandRefused
from .preconditions import Preconditions

#: How often a request is made on a newer revision before its sender has to send it again.
ATTEMPTS_MAX = 20
#: For all that a request does: a stall, and what is left to do when it is over.
REQUEST_SECONDS_MAX = STALL_SECONDS_MAX + 5.0


@dataclass(frozen=True)
class PipelineEdit:
    """A change as a function of the newest pipeline; `id` is that of the command, for every attempt."""

    id: str
    change: Callable[[Pipeline], Pipeline]

    def on(self, pipeline: Pipeline, revision: RevisionTag, actor: str) -> SavePipeline:
        """Return the command that makes the edit on a state, and on no other."""
        changed = self.change(pipeline)
        return SavePipeline(id=self.id, actor=actor, pipeline=changed, expected_revision=revision)


class CommandExecutor:
    """Sends commands to the scheduler for callers, and waits until the console's views show the result.

    Every method raises `CommandRefused` if the command is refused or a precondition does not hold, and
    `Unavailable` if there was no answer: the same request may be sent again.
    """

    def __init__(
        self,
        js: JetStreamContext,
        commands: CommandClient,
        log: FeatureLog,
        features: FeatureView,
        catalogue: CatalogueView,
    ) -> None:
        self._js = js
        self._commands = commands
        self._log = log
        self._features = features
        self._catalogue = catalogue
        self._turns = Turns(wait_seconds=STALL_SECONDS_MAX)

    async def execute(self, command: Command, caller: Identity, preconditions: Preconditions) -> Reply:
        """Execute a command, decided on a revision for which the preconditions hold."""
        async with _bounded(command.verb):
            return await self._execute(command, caller, preconditions)

    async def _execute(self, command: Command, caller: Identity, preconditions: Preconditions) -> Reply:
        if preconditions.is_absent or self._was_applied(command, caller):
            return await self._accepted(await self._send(command, caller), command)

        def on_newest() -> Command:
            return command.model_copy(update={"expected_revision": self._revision(command)})

        return await self._execute_if(command, on_newest, caller, preconditions)

    async def edit_feature(
        self, key: FeatureKey, edit: FeatureEdit, caller: Identity, preconditions: Preconditions
    ) -> Reply:
        """Save an edit of a feature.

        If others have changed the feature since the request came, both changes hold, or it is refused.
        """
        async with _bounded(f"the edit of {key}"):
            return await self._edit_feature(key, edit, caller, preconditions)

    async def _edit_feature(
        self, key: FeatureKey, edit: FeatureEdit, caller: Identity, preconditions: Preconditions
    ) -> Reply:
        await through_stalls(
            self._features.catch_up
        )  # its sender may have read a newer revision than this view
        read = self._reading(key)
        if read.feature is None:  # the log went back
            raise CommandRefused(refusals.unknown_feature(key))
        if read.is_archived and not (edit.is_unarchiving or edit.was_applied(read)):
            raise CommandRefused(refusals.archived_meanwhile(key))
        async with self._turns.of(key):
            if edit.was_applied(newest := self._reading(key)):
                return Reply(outcome=Outcome.UNCHANGED, feature=newest.feature)
            command = edit.on(read)
            if preconditions.is_absent:
                reply = await send_edit(lambda command: self._send(command, caller), edit, read)
                return await self._accepted(reply, command)

            def on_newest() -> Command | None:
                newest = self._reading(key)
                return edit.on(newest) if edit.fits(read, newest) else None

            return await self._execute_if(command, on_newest, caller, preconditions)

    async def edit_pipeline(
        self, id_: str, edit: PipelineEdit, caller: Identity, preconditions: Preconditions
    ) -> Reply:
        """Save an edit of a pipeline that exists, in the same way."""
        async with _bounded(f"the edit of the pipeline {id_}"):
            return await self._edit_pipeline(id_, edit, caller, preconditions)

    async def _edit_pipeline(
        self, id_: str, edit: PipelineEdit, caller: Identity, preconditions: Preconditions
    ) -> Reply:
        await through_stalls(self._catalogue.catch_up)
        read, revision = self._pipeline(id_)
        newest, command = read, edit.on(read, revision, caller.name)

        def on_newest() -> Command | None:
            newest, revision = self._pipeline(id_)
            fits = edit_fits(read, newest, edit.change(newest))
            return edit.on(newest, revision, caller.name) if fits else None

        if not preconditions.is_absent and not self._was_applied(command, caller):
            return await self._execute_if(command, on_newest, caller, preconditions)
        for _ in range(ATTEMPTS_MAX):
            reply = await self._send(edit.on(newest, revision, caller.name), caller)
            if not reply.is_stale:
                return await self._accepted(reply, command)
            await through_stalls(self._catalogue.catch_up)
            newest, revision = self._pipeline(id_)
            if not edit_fits(read, newest, edit.change(newest)):
                return await self._accepted(reply, command)
        raise _too_many_changes(command)

    async def _execute_if(
        self,
        command: Command,
        on_newest: Callable[[], Command | None],
        caller: Identity,
        preconditions: Preconditions,
    ) -> Reply:
        """Send the command that `on_newest` makes of the newest revision, while the preconditions hold.

        None: it does not fit what others have changed. `command` is then sent on the revision that was
        read, and the scheduler refuses it as stale, with what has changed.
        """
        for _ in range(ATTEMPTS_MAX):
            await self._require(preconditions, command)
            attempt = on_newest()
            reply = await self._send(attempt or command, caller)
            if attempt is None or not reply.is_stale:
                return await self._accepted(reply, command)
            await self.catch_up(command)
        raise _too_many_changes(command)

    async def _require(self, preconditions: Preconditions, command: Command) -> None:
        """Raise the refusal of a command whose preconditions do not hold, with what has changed."""
        if preconditions.hold(self._revision(command)):
            return
        await self.catch_up(command)
        newest, read = self._revision(command), preconditions.read_revision
        if preconditions.hold(newest):
            return
        expecting = command.model_copy(update={"expected_revision": read})
        refusal = await self.stale_refusal(expecting) or refusals.precondition_failed(
            self._subject(command), str(preconditions), newest
        )
        raise CommandRefused(refusal, PRECONDITION_FAILED)

    async def stale_refusal(self, command: Command) -> Refusal | None:
        """Return the refusal of a command that expects another revision than the newest one; else None."""
        expected = command.expected_revision
        if expected is None:
            return None
        await self.catch_up(command)  # others may know a newer revision than this view
        if expected == self._revision(command):
            return None
        if isinstance(command, FeatureCommand):
            entry = self._features.get(command.key)
            return await explain_stale(
                self._log, command.key, expected, entry.logged.logged if entry else None
            )
        kind, id_ = self._document(command)
        return await explain_stale_document(self._js, kind, id_, expected, self._catalogue.get(kind, id_))

    async def _send(self, command: Command, caller: Identity) -> Reply:
        return await self._commands.send(on_behalf_of(caller, command))

    async def _accepted(self, reply: Reply, command: Command) -> Reply:
        """Return a reply once the views show what it says; `CommandRefused` if it is a refusal."""
        if reply.refusal:
            raise CommandRefused(reply.refusal)
        await self.catch_up(command)
        return reply

    async def catch_up(self, command: Command) -> None:
        """Wait until the view shows what is stored now, so that callers read their own writes."""
        view = self._features if isinstance(command, FeatureCommand) else self._catalogue
        await through_stalls(view.catch_up)

    def _was_applied(self, command: Command, caller: Identity) -> bool:
        """Return whether a command that `caller` sends again has led to what is there."""
        key = on_behalf_of(caller, command).idempotency_key
        if isinstance(command, FeatureCommand):
            feature = self._reading(command.key).feature
            return feature is not None and key.is_among(feature.recent_commands)
        stored = self._catalogue.get(*self._document(command))
        return stored is not None and stored.was_written_by(key)

    def _revision(self, command: Command) -> RevisionTag:
        """Return the newest known revision of what a command changes."""
        if isinstance(command, FeatureCommand):
            return self._reading(command.key).revision
        return self._catalogue.revision_tag(*self._document(command))

    def _subject(self, command: Command) -> str:
        return str(command.key) if isinstance(command, FeatureCommand) else " ".join(self._document(command))

    def _document(self, command: Command) -> tuple[str, str]:
        """Return kind and id of the document of the catalogue that a command changes."""
        return document_of(command, self._catalogue.catalogue())

    def _reading(self, key: FeatureKey) -> FeatureReading:
        entry = self._features.get(key)
        if entry is None:
            return FeatureReading(None, NOTHING_STORED)
        return FeatureReading(entry.event.feature, entry.revision_tag)

    def _pipeline(self, id_: str) -> tuple[Pipeline, RevisionTag]:
        stored = self._catalogue.get("pipeline", id_)
        if stored is None or not isinstance(stored.document, Pipeline):
            raise CommandRefused(refusals.unknown("pipeline", id_, self._catalogue.catalogue().pipelines))
        return stored.document, stored.revision_tag


@asynccontextmanager
async def _bounded(what: str) -> AsyncIterator[None]:
    """Let a request take its time through a stall of the broker, and no more; `Unavailable` after that."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS_MAX):
            yield
    except TimeoutError:
        raise Unavailable(
            f"no answer to {what} in {REQUEST_SECONDS_MAX:g} s; it may have been applied or not"
        ) from None


def on_behalf_of(caller: Identity, command: Command) -> Command:
    """Return the command with `caller` as its actor and identity, whatever it named before."""
    return command.model_copy(update={"actor": caller.name, "identity": caller})


def _too_many_changes(command: Command) -> Unavailable:
    return Unavailable(f"what {command.verb} concerns has changed {ATTEMPTS_MAX} times meanwhile")
