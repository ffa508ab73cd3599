"""Ours: rules of one region, as records of RULES hand them over."""

from collections.abc import Iterator
from contextlib import contextmanager

from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts import subjects
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.evaluation.results import Config
from sluiceway.evaluation.users import User
from sluiceway.messaging.stream_records import Record
from tests.benchmarks.peers.people import PEOPLE
from tests.benchmarks.peers.specs import documents

REGION = "production"


class SluicewayPeer:
    def __init__(self, rules: RegionRules) -> None:
        self._rules = rules

    def user(self, index: int) -> User:
        person = PEOPLE[index]
        return User(
            person.id,
            email=person.email,
            country=person.country,
            custom={"environment": person.environment, "region": person.region, "plan": person.plan},
        )

    def gate(self, user: User, name: str) -> bool:
        return self._rules.check_gate(user, name)

    def config(self, user: User, name: str) -> Config:
        return self._rules.get_config(user, name)


@contextmanager
def prepared() -> Iterator[SluicewayPeer]:
    rules = RegionRules(REGION)
    take(rules, [record(document) for document in documents()])
    yield SluicewayPeer(rules)
    rules.close()


def record(document: RuleDocument) -> Record:
    """Return a document as the broker hands it over."""
    subject = subjects.rule(REGION, document.key)
    return Record(subject, document.revision, document.event_time_ms, document.to_json(), {})


def take(rules: RegionRules, records: list[Record]) -> None:
    """Parse, compile and apply records."""
    for one in records:
        rules.apply(one, "", is_live=False)
