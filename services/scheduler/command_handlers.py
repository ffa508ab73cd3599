"""Answers commands: those to features by `CommandProcessor`, those to the catalogue here.

Handlers hold no rules: `decide` and `decide_catalogue` do.
"""

from dataclasses import replace

from nats.js import JetStreamContext

from sluiceway.clock import Clock
from sluiceway.contracts.commands import Command, FeatureCommand
from sluiceway.contracts.replies import Outcome, Refusal, Reply
from sluiceway.contracts.revisions import NOTHING_STORED
from sluiceway.errors import Conflict, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueStore, CatalogueView, StoredRevision
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.stale_readings import explain_stale_document
from sluiceway.pipelines.catalogue_decisions import PutDocument, decide_catalogue, document_of
from sluiceway.pipelines.decision import Unchanged

from . import metrics
from .command_processor import ATTEMPTS_MAX, CommandProcessor
from .side_thread import SideThread
from .storage_budget import OnStored


class CommandHandlers:
    """Answers commands and counts them."""

    def __init__(
        self,
        processor: CommandProcessor,
        features: DecisionView,
        catalogue: CatalogueView,
        store: CatalogueStore,
        js: JetStreamContext,
        clock: Clock,
        side_thread: SideThread,
        on_stored: OnStored = lambda command, size: None,
    ) -> None:
        """`on_stored` is called with a command and the bytes of the document that it led to."""
        self._processor = processor
        self._features = features
        self._catalogue = catalogue
        self._store = store
        self._js = js
        self._clock = clock
        self._side_thread = side_thread
        self._on_stored = on_stored

    async def handle(self, command: Command) -> Reply:
        """Return the result of a command."""
        with metrics.command_seconds(command.verb).time():
            if isinstance(command, FeatureCommand):
                reply = await self._processor.process(command)
            else:
                reply = await self._change_catalogue(command)
        outcome = reply.refusal.code if reply.refusal else reply.outcome
        metrics.command_counter(command.verb, outcome).inc()
        return reply

    async def _change_catalogue(self, command: Command) -> Reply:
        for _ in range(ATTEMPTS_MAX):
            await self._features.catch_up()
            await self._catalogue.catch_up()
            catalogue = replace(
                self._catalogue.catalogue(),
                references=self._features.references,
                message_bytes_max=self._store.message_bytes_max,
            )
            usage = self._features.usage
            decision = await self._side_thread.run(decide_catalogue, command, catalogue, usage)
            if isinstance(decision, Refusal):
                return Reply(outcome=Outcome.REFUSED, refusal=decision)
            if self._catalogue.has_applied(*document_of(command, catalogue), command.idempotency_key):
                return self._unchanged(Unchanged("this command was already applied"), command)
            if refusal := await self._stale(command):
                return Reply(outcome=Outcome.REFUSED, refusal=refusal)
            if not isinstance(decision, PutDocument):
                return self._unchanged(decision, command)
            try:
                stored = await self._write(decision, command)
                self._on_stored(command, stored.size)
                tag = NOTHING_STORED if decision.document is None else stored.tag
                return Reply(outcome=Outcome.ACCEPTED, revision=stored.sequence, revision_tag=tag)
            except Conflict:
                continue
        raise Unavailable("the catalogue is being changed by too many writers at the same time")

    def _unchanged(self, decision: Unchanged, command: Command) -> Reply:
        tag = self._catalogue.revision_tag(*document_of(command, self._catalogue.catalogue()))
        return Reply(outcome=Outcome.UNCHANGED, message=decision.message, revision_tag=tag)

    async def _stale(self, command: Command) -> Refusal | None:
        """Refuse a command that was made from another revision of the document than the newest one.

        A command that is sent again has itself led to the newest one.
        """
        kind, id_ = document_of(command, self._catalogue.catalogue())
        expected, newest = command.expected_revision, self._catalogue.get(kind, id_)
        if expected in (None, self._catalogue.revision_tag(kind, id_)):
            return None
        if newest and newest.was_written_by(command.idempotency_key):
            return None
        return await explain_stale_document(self._js, kind, id_, expected, newest)

    async def _write(self, put: PutDocument, command: Command) -> StoredRevision:
        expected, now_ms = self._catalogue.last_sequence(put.kind, put.id), self._clock()
        if put.document is None:
            return await self._store.delete(put.kind, put.id, expected, command=command, now_ms=now_ms)
        known = self._catalogue.get(put.kind, put.id)
        return await self._store.put(
            put.kind, put.id, put.document, expected, known, command=command, now_ms=now_ms
        )
