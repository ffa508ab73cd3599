"""Follow the rules of one region, evaluate them here, report what is applied."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from ..clock import now_ms
from ..contracts import envelope, subjects
from ..contracts.applied_reports import CHANGES_MAX, AppliedChange, AppliedReport
from ..contracts.identifiers import FeatureKey
from ..contracts.rule_document import RuleDocument
from ..errors import Unavailable
from ..evaluation.condition_tests import Host
from ..evaluation.results import Config, Evaluation
from ..evaluation.rule_set import RuleSet
from ..evaluation.users import AnyUser
from ..messaging.connection import Connection
from ..messaging.publishing import StreamPublisher
from ..messaging.stream_follower import START, Follower, Position, Record
from ..tasks import cancel_and_wait
from .rule_cache import RuleCache

log = logging.getLogger(__name__)

#: A report is written again after this time, well before it would vanish.
REPORT_EVERY_SECONDS = 20.0
REPORT_RETRY_SECONDS = 0.5


class RegionRules:
    """The rules of one region in this process, with their copy on disk.

    Good to evaluate from the first moment, with what the disk held; `follow` keeps them new.
    """

    def __init__(self, region: str, cache_dir: Path | None = None) -> None:
        self.region = region
        self.on_applied: Callable[[AppliedChange], None] = lambda change: None
        #: Called after each change, live or not.
        self.on_change: Callable[[], None] = lambda: None
        self.on_rejected: Callable[[str, bytes, str], None] = lambda subject, data, reason: None
        self._rules = RuleSet(Host(clock=now_ms))
        self._rules.on_failure = _log_failure
        # The very methods of the rules: a check takes no detour.
        #: Says whether a user passes a gate; False where it is not known.
        self.check_gate: Callable[[AnyUser, str], bool] = self._rules.check_gate
        #: Returns a user's value of a dynamic config; empty where it is not known.
        self.get_config: Callable[[AnyUser, str], Config] = self._rules.get_config
        #: Return a gate's or config's answer with the rule that gave it.
        self.gate: Callable[[AnyUser, str], Evaluation] = self._rules.gate
        self.config: Callable[[AnyUser, str], Evaluation] = self._rules.config
        self._revisions: dict[FeatureKey, int] = {}
        self._texts: dict[FeatureKey, bytes] = {}
        self._cache_path = cache_dir / f"{region}.rules" if cache_dir else None
        self._cache = RuleCache(self._cache_path) if self._cache_path else None
        self._position = START
        if self._cache:
            self._load(self._cache)

    def revision(self, key: FeatureKey) -> int | None:
        """Return the FEATURES sequence that the rules of a feature came from; None without rules."""
        return self._revisions.get(key)

    def texts(self) -> dict[FeatureKey, bytes]:
        """Return the document of every feature, as it came."""
        return dict(self._texts)

    def document(self, key: FeatureKey) -> RuleDocument | None:
        """Return the document of a feature; None where the region holds none."""
        text = self._texts.get(key)
        return _document(text)[0] if text else None

    @property
    def position(self) -> Position:
        """How far RULES is applied."""
        return self._position

    def __len__(self) -> int:
        return len(self._rules)

    def take(self, record: Record, created: str, *, is_live: bool) -> AppliedChange | None:
        """Apply one record of RULES; returns the change, None where it was refused or older."""
        try:
            _, key = subjects.parse_rule(record.subject)
            document = None if record.is_deletion else _parse(record, key)
        except (ValueError, ValidationError) as error:
            log.error("%s holds no rules; what was there before stays: %s", record.subject, error)
            self.on_rejected(record.subject, record.data, str(error))
            return None
        change = self._apply(key, document, record)
        if change is None:
            return None
        self._position = Position(created, record.sequence)
        if self._cache:
            self._cache.put(record.subject, record.data if document else None, self._position)
        self.on_change()
        if is_live:
            self.on_applied(change)
        return change

    def replace(self, texts: Iterable[bytes], position: Position) -> None:
        """Put a whole set of documents in place of what there is."""
        documents = {document.key: (document, text) for document, text in map(_document, texts)}
        for key in self._texts.keys() - documents.keys():
            self._forget(key, position)
        for key, (document, text) in documents.items():
            if self._texts.get(key) != text:
                self._hold(document, text)
                if self._cache:
                    self._cache.put(subjects.rule(self.region, key), text, position)
        self._position = position
        self.on_change()

    def abandon_cache(self) -> None:
        """Leave the file to the process that this one was forked from."""
        self._cache = self._cache_path = None

    def reopen(self) -> None:
        """Go on writing the file after `close`."""
        if self._cache_path:
            self._cache = RuleCache(self._cache_path)

    def reset(self) -> None:
        """Begin anew: the broker lost its data, and what it says now counts."""
        for key in tuple(self._revisions):
            self._rules.remove(key)
        self._revisions.clear()
        self._texts.clear()
        self._position = START
        if self._cache:
            self._cache.clear()

    def close(self) -> None:
        if self._cache:
            self._cache.close()

    def _apply(self, key: FeatureKey, document: RuleDocument | None, record: Record) -> AppliedChange | None:
        revision = _revision(document, record)
        if revision < self._revisions.get(key, 0):
            log.warning("%s: revision %s is older than what is applied", key, revision)
            return None
        if document:
            self._hold(document, record.data)
        else:
            self._drop(key)
        happened = int(record.headers.get(envelope.EVENT_TIME, record.time_ms))
        return AppliedChange(
            kind=key.kind,
            name=key.name,
            revision=revision,
            after_ms=max(0, now_ms() - happened),
            present=document is not None,
        )

    def _hold(self, document: RuleDocument, text: bytes) -> None:
        self._rules.apply(document, text)
        self._revisions[document.key] = document.revision
        self._texts[document.key] = text

    def _drop(self, key: FeatureKey) -> None:
        self._rules.remove(key)
        self._revisions.pop(key, None)
        self._texts.pop(key, None)

    def _forget(self, key: FeatureKey, position: Position) -> None:
        self._drop(key)
        if self._cache:
            self._cache.put(subjects.rule(self.region, key), None, position)

    def _load(self, cache: RuleCache) -> None:
        for _, data in cache.documents():
            self._hold(*_document(data))
        self._position = cache.position()


class RegionClient:
    """Keeps `rules` new while the block runs, and reports what is applied into APPLIED."""

    def __init__(
        self, connection: Connection, rules: RegionRules, *, instance: str | None = None, report: bool = True
    ) -> None:
        self.rules = rules
        self._connection = connection
        self._instance = instance or uuid.uuid4().hex[:12]
        self._report_wanted = report
        self._reports = StreamPublisher(connection, subjects.APPLIED_STREAM)
        self._changes: list[AppliedChange] = []
        self._due = asyncio.Event()
        self._stack = AsyncExitStack()
        self._follower = Follower(
            connection,
            subjects.RULES_STREAM,
            [subjects.rules_of(rules.region)],
            self._on_record,
            on_reset=rules.reset,
            on_caught_up=lambda: rules.on_change(),
            after=rules.position,
        )

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._follower)
        if self._report_wanted:
            self._stack.callback(self._connection.on_reconnect(self._due.set))
            reporting = asyncio.create_task(self._report_for_ever(), name="report")
            self._stack.push_async_callback(cancel_and_wait, reporting)
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stack.aclose()

    async def caught_up(self) -> None:
        """Return once everything that the region holds is applied."""
        await self._follower.caught_up()

    def is_complete(self) -> bool:
        """Say whether the rules are a whole state of the region, not one on its way."""
        return self._follower.is_caught_up

    def _on_record(self, record: Record) -> None:
        is_live = self._follower.is_caught_up
        change = self.rules.take(record, self._follower.position.created, is_live=is_live)
        if change and is_live:
            self._changes.append(change)
            self._due.set()

    async def _report_for_ever(self) -> None:
        await self.caught_up()
        while True:
            self._due.clear()
            if not await self._report():
                await asyncio.sleep(REPORT_RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if self._changes else REPORT_EVERY_SECONDS):
                    await self._due.wait()

    async def _report(self) -> bool:
        changes = tuple(self._changes[:CHANGES_MAX])
        report = AppliedReport(
            region=self.rules.region,
            instance=self._instance,
            sequence=self._follower.position.sequence,
            time_ms=now_ms(),
            changes=changes,
        )
        try:
            await self._reports.publish(subjects.applied(self.rules.region, self._instance), report.to_json())
        except Unavailable as error:
            log.info("cannot report what is applied: %s", error)
            return False
        del self._changes[: len(changes)]
        return True


def _log_failure(name: str, error: Exception) -> None:
    log.error("%s cannot be evaluated for a user: %s", name, str(error) or type(error).__name__)


def _document(text: bytes) -> tuple[RuleDocument, bytes]:
    return RuleDocument.model_validate_json(text, extra="ignore"), text


def _parse(record: Record, key: FeatureKey) -> RuleDocument:
    document = RuleDocument.model_validate_json(record.data, extra="ignore")
    if document.key != key:
        raise ValueError(f"rules of {document.key} at the place of {key}")
    return document


def _revision(document: RuleDocument | None, record: Record) -> int:
    return document.revision if document else int(record.headers.get(envelope.REVISION, 0))
