"""What every edge serves, and what every process says of itself, asked again and again during a run."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx2

from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.pipelines.projection import checksum

from .history import FinalRules, ReadinessAnswer, ServedRules, UnservedRules, now_ms
from .processes import HostProcess

RULES_EVERY_SECONDS = 0.4
READINESS_EVERY_SECONDS = 1.5
#: A process answers in milliseconds, but the machine may be busy; one that is frozen does not answer.
ANSWER_SECONDS = 10.0
RULES_PATH = "/sluiceway/v1/rules"
OK = 200


class EdgeSamples:
    """What one edge served: equal answers one after the other are one record."""

    def __init__(self, edge: HostProcess, region: str, key: str) -> None:
        self.edge = edge
        self._region = region
        self._headers = {"statsig-api-key": key}
        self._ended: list[ServedRules] = []
        self._current: dict[str, ServedRules] = {}
        self.unserved: list[UnservedRules] = []
        #: The life in which the edge has served rules.
        self._serving_life: int | None = None
        #: Feature → its document as it arrived, and what was read from it.
        self._parsed: dict[str, tuple[Any, RuleDocument]] = {}

    def served(self) -> tuple[ServedRules, ...]:
        """Return what was served in all samples."""
        return (*self._ended, *self._current.values())

    async def run(self, http: httpx2.AsyncClient, every_seconds: float = RULES_EVERY_SECONDS) -> None:
        """Ask until cancelled."""
        while True:
            life, asked_ms, disturbances = self.edge.life, now_ms(), self.edge.disturbances
            answer = await self._get(http)
            if answer is not None and answer.status_code == OK and life == self.edge.life:
                self._serving_life = life
                self._record(self._documents(answer), life, asked_ms, now_ms())
            elif self._serving_life == life and disturbances == self.edge.disturbances:
                self._record_error(answer, asked_ms, now_ms())
            await asyncio.sleep(every_seconds)

    async def _get(self, http: httpx2.AsyncClient) -> httpx2.Response | None:
        """Return the answer of the edge; None if it does not answer."""
        url = self.edge.health.removesuffix("/readyz") + RULES_PATH
        try:
            return await http.get(url, headers=self._headers, timeout=ANSWER_SECONDS)
        except httpx2.HTTPError:
            return None

    def _record_error(self, answer: httpx2.Response | None, asked_ms: int, answered_ms: int) -> None:
        """Record that rules were served before by the edge, which runs on undisturbed, and are not now."""
        if self.edge.is_running:
            error = UnservedRules(
                edge=self.edge.name,
                asked_ms=asked_ms,
                answered_ms=answered_ms,
                status=None if answer is None else answer.status_code,
            )
            self.unserved.append(error)

    def _documents(self, answer: httpx2.Response) -> list[RuleDocument]:
        return [self._parse(document) for document in answer.json()["documents"]]

    async def final(self, http: httpx2.AsyncClient) -> list[FinalRules]:
        """Return what the edge holds now, to be compared in full."""
        answer = await self._get(http)
        documents = self._documents(answer) if answer is not None and answer.status_code == OK else []
        return [
            FinalRules(
                edge=self.edge.name,
                region=self._region,
                feature=str(document.key),
                revision=document.revision,
                checksum=checksum(document),
            )
            for document in documents
        ]

    def _parse(self, document: dict[str, Any]) -> RuleDocument:
        name = f"{document['kind']}.{document['name']}"
        known = self._parsed.get(name)
        if known is None or known[0] != document:
            known = self._parsed[name] = (document, RuleDocument.model_validate(document))
        return known[1]

    def _record(self, documents: Iterable[RuleDocument], life: int, asked_ms: int, answered_ms: int) -> None:
        before, self._current = self._current, {}
        for document in documents:
            feature = str(document.key)
            found = ServedRules(
                edge=self.edge.name,
                region=self._region,
                life=life,
                feature=feature,
                epoch=document.epoch,
                revision=document.revision,
                versions=_versions(document),
                checksum=checksum(document),
                first_ms=answered_ms,
                last_ms=asked_ms,
            )
            known = before.pop(feature, None)
            if known and _content(known) == _content(found):
                found = known.model_copy(update={"last_ms": asked_ms})
            elif known:
                self._ended.append(known)
            self._current[feature] = found
        self._ended.extend(known.model_copy(update={"absent_ms": answered_ms}) for known in before.values())


async def record_readiness(
    process: HostProcess, http: httpx2.AsyncClient, into: list[ReadinessAnswer]
) -> None:
    """Ask a process whether it is ready, until cancelled; not while it is down or frozen."""
    while True:
        asked_ms, life, disturbances = now_ms(), process.life, process.disturbances
        was_running, reason = process.is_running, await process.ask(http, ANSWER_SECONDS)
        if was_running and process.is_running and disturbances == process.disturbances:
            answer = ReadinessAnswer(
                process=process.name,
                life=life,
                host=process.host.name,
                asked_ms=asked_ms,
                answered_ms=now_ms(),
                is_ready=reason is None,
            )
            into.append(answer)
        await asyncio.sleep(READINESS_EVERY_SECONDS)


def _versions(document: RuleDocument) -> tuple[int, ...]:
    specs = document.specs
    named = (*specs.feature_gates.values(), *specs.dynamic_configs.values())
    return tuple(sorted({spec.version for spec in named if spec.version is not None}))


def _content(served: ServedRules) -> tuple[object, ...]:
    return served.life, served.epoch, served.revision, served.checksum
