"""Law 11: of the edits that were made from one reading, each holds at the end, or is refused."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.commands import ArchiveFeature, Command, FeatureCommand, SaveFeature
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, FeatureDocument, FeatureGate, GateRule
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.replies import Outcome, Refusal, Reply
from sluiceway.contracts.revisions import NOTHING_STORED, RevisionTag, revision_tag
from sluiceway.messaging.feature_edits import FeatureEdit, FeatureReading, send_edit
from sluiceway.pipelines.decide import decide
from tests.support.builders import EVERYONE, NOW, a_catalogue, a_gate, a_pipeline

RULES = ("a", "b", "c")
NEW_RULES = ("b", "x", "y")
TEXTS = ("", "one", "other")


def rule(name: str, percentage: float = 100.0) -> GateRule:
    return GateRule.model_validate({**EVERYONE, "name": name, "passPercentage": percentage})


class RuleGone(Exception):
    """The rule that an edit is about is not there: the edit is refused."""


class Edit(NamedTuple):
    """What somebody does to a gate."""

    title: str
    change: Callable[[FeatureGate], FeatureGate]
    is_forced: bool = False


def updating(title: str, **fields: Any) -> Edit:
    return Edit(title, lambda gate: gate.model_copy(update=fields))


def describe(text: str) -> Edit:
    return updating(f"describe {text!r}", description=text)


def switch(is_on: bool) -> Edit:
    return updating("enable" if is_on else "disable", is_enabled=is_on)._replace(is_forced=not is_on)


def with_rules(title: str, change: Callable[[tuple[GateRule, ...]], Iterable[GateRule]]) -> Edit:
    return Edit(title, lambda gate: gate.model_copy(update={"rules": tuple(change(gate.rules))}))


def add(name: str) -> Edit:
    return with_rules(f"add {name}", lambda rules: (*rules, rule(name)))


def remove(name: str) -> Edit:
    return with_rules(f"remove {name}", lambda rules: _others(rules, name))


def widen(name: str, percentage: float) -> Edit:
    def change(rules: tuple[GateRule, ...]) -> Iterable[GateRule]:
        _others(rules, name)
        return (rule(name, percentage) if one.name == name else one for one in rules)

    return with_rules(f"widen {name} to {percentage}", change)


def reverse() -> Edit:
    return with_rules("reverse", lambda rules: reversed(rules))


def replace(wanted: list[str]) -> Edit:
    """Write the whole gate."""
    document = a_gate(description="whole").model_copy(update={"rules": tuple(map(rule, wanted))})
    return Edit(f"replace by {wanted}", lambda gate: document)


def _others(rules: tuple[GateRule, ...], name: str) -> tuple[GateRule, ...]:
    others = tuple(one for one in rules if one.name != name)
    if others == rules:
        raise RuleGone
    return others


def parts(gate: FeatureGate) -> dict[str, object]:
    """Return everything that an edit can change, one by one: also which of two rules comes first."""
    found: dict[str, object] = {"on": gate.is_enabled, "description": gate.description}
    for index, one in enumerate(gate.rules):
        found[f"rule {one.name}"] = one
        found |= {f"{one.name} before {later.name}": True for later in gate.rules[index + 1 :]}
    return found


def changes(before: FeatureGate, after: FeatureGate) -> dict[str, object]:
    """Return the parts that differ, as they are afterwards; None for what is gone.

    The order of rules counts only for rules that were there before and still are.
    """
    old, new = parts(before), parts(after)
    both = {one.name for one in before.rules} & {one.name for one in after.rules}
    return {
        name: new.get(name)
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
        and (" before " not in name or both.issuperset(name.split(" before ")))
    }


EDITS = st.one_of(
    st.sampled_from(TEXTS).map(describe),
    st.booleans().map(switch),
    st.sampled_from(NEW_RULES).map(add),
    st.sampled_from(RULES).map(remove),
    st.builds(widen, st.sampled_from(RULES), st.sampled_from((10.0, 50.0))),
    st.builds(reverse),
    st.lists(st.sampled_from(("a", "x")), unique=True, max_size=2).map(replace),
)


class Scheduler:
    """Decides commands on the newest state, one after the other; history goes on in one line."""

    def __init__(self) -> None:
        self.catalogue = a_catalogue(a_pipeline())
        self.events: list[FeatureEvent] = []
        self.save(a_gate().model_copy(update={"rules": tuple(map(rule, RULES))}))

    @property
    def state(self) -> Feature | None:
        return self.events[-1].feature if self.events else None

    @property
    def revision(self) -> RevisionTag:
        return revision_tag(len(self.events), self.events[-1].command_id) if self.events else NOTHING_STORED

    @property
    def reading(self) -> FeatureReading:
        return FeatureReading(self.state, self.revision)

    @property
    def gate(self) -> FeatureGate:
        assert self.state
        assert self.state.base
        spec = self.state.base
        fields = {"is_enabled": spec.is_enabled, "description": spec.description, "rules": spec.rules}
        return a_gate().model_copy(update=fields)

    def save(self, document: FeatureDocument) -> None:
        self.decide(SaveFeature(actor="ada", feature=document))

    def decide(self, command: FeatureCommand) -> Reply:
        decision = decide(self.state, command, NOW, self.catalogue, self.revision)
        refusal = decision if isinstance(decision, Refusal) else None
        if isinstance(decision, FeatureEvent):
            self.events.append(decision)
        outcome = Outcome.REFUSED if refusal else Outcome.ACCEPTED
        return Reply(outcome=outcome, refusal=refusal, feature=self.state, revision_tag=self.revision)

    async def send(self, command: Command) -> Reply:
        assert isinstance(command, FeatureCommand)
        return self.decide(command)


def make(scheduler: Scheduler, edit: Edit, read: FeatureReading, id_: str) -> bool:
    """Make an edit of a reading; return whether it was accepted."""

    def change(document: FeatureDocument) -> FeatureDocument:
        assert isinstance(document, FeatureGate)
        return edit.change(document)

    sent = FeatureEdit(id=id_, actor="ada", change=change, is_forced=edit.is_forced)
    try:
        return asyncio.run(send_edit(scheduler.send, sent, read)).refusal is None
    except RuleGone:
        return False


@given(st.lists(EDITS, min_size=2, max_size=4))
def test_every_change_of_one_reading_holds_at_the_end_or_is_refused(edits: list[Edit]) -> None:
    scheduler = Scheduler()
    read = scheduler.reading
    made: list[dict[str, object]] = []
    is_off = False
    for n, edit in enumerate(edits):
        before = scheduler.gate
        is_accepted = make(scheduler, edit, read, f"command-{n}")
        assert scheduler.gate == (edit.change(before) if is_accepted else before)
        made.append(changes(before, scheduler.gate))
        is_off = is_off or (is_accepted and edit.is_forced)

    final = parts(scheduler.gate)
    for change in made:
        if is_off:  # it overrules whoever enables the gate
            change.pop("on", None)
        # Two rules are in an order only as long as both are there.
        gone = {name for name in change if " before " in name and not _both_there(name, final)}
        assert {name: final.get(name) for name in change.keys() - gone} == {
            name: value for name, value in change.items() if name not in gone
        }
    assert final["on"] is not is_off


def _both_there(order: str, final: dict[str, object]) -> bool:
    return all(f"rule {name}" in final for name in order.split(" before "))


@given(st.lists(EDITS, min_size=2, max_size=3), st.lists(st.integers(0, 2), max_size=6))
def test_an_edit_that_is_sent_again_is_applied_once(edits: list[Edit], again: list[int]) -> None:
    scheduler = Scheduler()
    read = scheduler.reading
    results = [make(scheduler, edit, read, f"command-{n}") for n, edit in enumerate(edits)]
    log = list(scheduler.events)

    for n in again:
        was_stored = any(event.command_id == f"command-{n}" for event in log)
        if was_stored:
            assert make(scheduler, edits[n], scheduler.reading, f"command-{n}") is results[n]

    assert scheduler.events == log


@given(st.lists(st.sampled_from(TEXTS), min_size=2, max_size=4), st.booleans())
def test_of_whole_documents_from_one_reading_one_is_stored(texts: list[str], is_archived: bool) -> None:
    """As the page and a file that names its revision do: nothing is merged."""
    scheduler = Scheduler()
    revision = scheduler.revision
    if is_archived:
        scheduler.decide(ArchiveFeature(actor="bob", kind=FeatureKind.GATE, name="checkout"))
    saves = [
        SaveFeature(actor="ada", feature=a_gate(description=f"{n} {text}"), expected_revision=revision)
        for n, text in enumerate(texts)
    ]

    replies = [scheduler.decide(save) for save in saves]

    assert sum(reply.refusal is None for reply in replies) == (0 if is_archived else 1)
    assert all(reply.is_stale for reply in replies[0 if is_archived else 1 :])


@given(EDITS)
def test_an_edit_from_a_reading_of_another_history_is_made_on_the_newest(edit: Edit) -> None:
    """The sequence is the same, but the state is another one: the store was restored meanwhile."""
    scheduler, restored = Scheduler(), Scheduler()
    restored.events[-1] = restored.events[-1].model_copy(update={"command_id": "another"})
    read = scheduler.reading
    expecting = SaveFeature(actor="ada", feature=a_gate(), expected_revision=read.revision)

    assert len(scheduler.events) == len(restored.events)
    assert restored.decide(expecting).is_stale
    before = restored.gate
    is_made = make(restored, edit, read, "command")

    assert restored.gate == (edit.change(before) if is_made else before)


@given(EDITS)
def test_an_edit_of_a_gate_that_the_restored_log_does_not_have_is_refused(edit: Edit) -> None:
    scheduler = Scheduler()
    read = scheduler.reading
    scheduler.events.clear()

    is_made = make(scheduler, edit, read, "command")

    assert not is_made
    assert scheduler.events == []
