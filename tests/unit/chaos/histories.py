"""A history without findings: one release through two regions, each with an edge. Tests spoil it."""

from dataclasses import replace
from typing import Any

from sluiceway.contracts.commands import (
    AdvancePhase,
    ApprovePhase,
    FeatureCommand,
    RollBackTrigger,
    SaveFeature,
    TriggerCommand,
)
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.replies import Outcome, RefusalCode
from sluiceway.pipelines.projection import checksum, project
from sluiceway.pipelines.segments import Location
from tests.chaos.checker import check
from tests.chaos.history import (
    REASON,
    Fault,
    FinalRules,
    History,
    KnownRegion,
    ReadinessAnswer,
    SeenEvent,
    SentCommand,
    ServedRules,
    StoredEvent,
)
from tests.support.builders import (
    EVERYONE,
    Ledger,
    a_catalogue,
    a_gate,
    a_phase,
    a_pipeline,
    a_region,
    happened,
)

RECORDED = "the run recorded what it checks"
GATE = "gate.checkout"
BAKE_MS = 1_000
REGIONS = (a_region("dev"), a_region("eu", "production"))
#: Time and the monitor send these.
BY_SERVICES = (AdvancePhase, RollBackTrigger)
#: Before everything.
FAULT = Fault(kind="kill a broker", target="broker-1", started_ms=1, healed_ms=2, ready_ms=3)
ANSWER = ReadinessAnswer(process="edge-dev-1", life=1, host="host1", asked_ms=4, answered_ms=5, is_ready=True)
#: Between the decision about an event and the moment in which it is stored.
STORING_MS = 5


class Recorded:
    """A gate, its log, and who was answered what."""

    def __init__(self) -> None:
        phases = (
            a_phase("dev", bake_ms=BAKE_MS),
            a_phase("eu", bake_ms=BAKE_MS, review=True, environments=["production"]),
        )
        self.ledger = Ledger(a_catalogue(a_pipeline(*phases)))
        self.history = History(
            regions=tuple(KnownRegion(region=region, edges=(f"edge-{region.name}-1",)) for region in REGIONS)
        )

    def send(self, command: FeatureCommand, *, after_ms: int = 100) -> FeatureEvent:
        """Decide, store and answer a command."""
        command = command.model_copy(update={"reason": REASON})
        event = happened(self.ledger.decide(command, after_ms=after_ms))
        sequence = len(self.history.events) + 1
        stored = StoredEvent(sequence=sequence, stored_ms=event.time_ms + STORING_MS, event=event)
        self.history = replace(self.history, events=(*self.history.events, stored))
        if not isinstance(command, BY_SERVICES):
            self.answer(command, revision=sequence, outcome=Outcome.ACCEPTED)
        return event

    def act(self, model: type[TriggerCommand], *, after_ms: int = 100) -> FeatureEvent:
        """Send a command to the release, meant for its current phase."""
        trigger = self.ledger.trigger
        fields = {"phase_id": trigger.current_run.phase.id} if "phase_id" in model.model_fields else {}
        actor = "scheduler" if issubclass(model, BY_SERVICES) else "ada"
        return self.send(model(actor=actor, trigger=trigger.id, **fields), after_ms=after_ms)

    def answer(self, command: FeatureCommand, **answer: Any) -> SentCommand:
        """Record what a command was answered."""
        now = self.ledger.now
        sent = SentCommand(
            id=command.id,
            verb=command.verb,
            feature=str(command.key),
            actor=command.actor,
            sent_ms=now - 2,
            answered_ms=now + 10,
            **answer,
        )
        self.history = replace(self.history, commands=(*self.history.commands, sent))
        return sent

    def serve(self, region: str, revision: int | None = None, **changes: Any) -> ServedRules:
        """Record that an edge served what it should since an event, by default the newest."""
        stored = self.history.events[revision - 1 if revision else -1]
        served = ServedRules(
            edge=f"edge-{region}-1",
            region=region,
            life=1,
            feature=GATE,
            epoch=1,
            revision=stored.sequence,
            versions=(1,),
            checksum=_checksum(stored, region),
            first_ms=stored.stored_ms + 20,
            last_ms=stored.stored_ms + 90,
        ).model_copy(update=changes)
        self.history = replace(self.history, served=(*self.history.served, served))
        return served

    def hold_at_last(self) -> History:
        """Return the history, at whose end every edge holds what the log says."""
        stored = self.history.events[-1]
        documents = (
            (region, project(stored.event, stored.sequence, Location.of(region))) for region in REGIONS
        )
        final = tuple(
            FinalRules(
                edge=f"edge-{region.name}-1",
                region=region.name,
                feature=GATE,
                revision=document.revision,
                checksum=checksum(document),
            )
            for region, document in documents
            if document
        )
        seen = tuple(
            SeenEvent(sequence=entry.sequence, command_id=entry.event.command_id, time_ms=entry.event.time_ms)
            for entry in self.history.events
        )
        return replace(self.history, final=final, seen=seen, faults=(FAULT,), readiness=(ANSWER,))


def _checksum(stored: StoredEvent, region: str) -> str:
    (place,) = (Location.of(known) for known in REGIONS if known.name == region)
    document = project(stored.event, stored.sequence, place)
    return checksum(document) if document else ""


def a_release() -> Recorded:
    """Return a release that bakes in its first region: version 1 is everywhere, version 2 in dev."""
    recorded = Recorded()
    recorded.send(SaveFeature(actor="ada", feature=a_gate()))
    recorded.serve("dev")
    recorded.serve("eu")
    recorded.send(SaveFeature(actor="ada", feature=a_gate(EVERYONE, releasePipelineID="release")))
    recorded.serve("dev", versions=(2,))
    return recorded


def a_whole_release() -> History:
    """Return the history of a release that went through all regions."""
    recorded = a_release()
    recorded.act(AdvancePhase, after_ms=BAKE_MS)
    recorded.act(ApprovePhase)
    recorded.serve("eu", versions=(2,))
    recorded.act(AdvancePhase, after_ms=BAKE_MS)
    refused = ApprovePhase(actor="ada", trigger=recorded.ledger.trigger.id, phase_id="eu")
    newest = recorded.history.events[-1].sequence
    recorded.answer(refused, outcome=Outcome.REFUSED, refusal=RefusalCode.TRIGGER_ENDED, revision=newest)
    return recorded.hold_at_last()


def laws_broken_by(history: History) -> set[str]:
    """Return the laws about which something was found, apart from what was not recorded."""
    return {finding.law for finding in check(history)} - {RECORDED}
