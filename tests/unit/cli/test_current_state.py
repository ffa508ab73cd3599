"""Who may not ask the leader of the log is answered by a scheduler: a replica may be behind."""

import pytest

from sluiceway.cli.current_state import read_feature
from sluiceway.cli.get import find_trigger
from sluiceway.cli.session import CliSession, CommandFailed
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import Outcome, Refusal, Reply
from sluiceway.contracts.revisions import NOTHING_STORED, revision_tag
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import FeatureLog, LogTail
from sluiceway.pipelines import refusals
from sluiceway.settings import BrokerSettings
from tests.support.answering_client import AnsweringClient
from tests.support.builders import Ledger, a_release

PERSON = "3f9a11c2"
NEWEST = revision_tag(2, "save", 1)


@pytest.fixture(autouse=True)
def replica_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the replica that answers have nothing yet."""

    async def tail(log: FeatureLog, key: FeatureKey) -> LogTail:
        return LogTail(None, 0)

    monkeypatch.setattr(FeatureLog, "tail", tail)


def a_session(reply: Reply) -> CliSession:
    """Return the command line of a person with a key, to whom a scheduler gives this answer."""
    asked = f"sluiceway.commands.read_feature.{PERSON}"
    client = AnsweringClient(lambda message: reply.to_json() if message.subject == asked else None)
    session = CliSession(BrokerSettings(), as_json=True, actor="ada")
    session._connection = Connection(client, PERSON)
    return session


def the_state(ledger: Ledger) -> Reply:
    return Reply(outcome=Outcome.UNCHANGED, feature=ledger.feature, revision=2, revision_tag=NEWEST)


def refused(refusal: Refusal) -> Reply:
    return Reply(outcome=Outcome.REFUSED, refusal=refusal)


async def test_a_person_reads_what_the_scheduler_says_and_not_what_a_replica_has() -> None:
    ledger = a_release()
    session = a_session(the_state(ledger))

    reading = await read_feature(session.connection, *ledger.feature.key)
    _, trigger = await find_trigger(session, ledger.trigger.id)

    assert reading == (ledger.feature, NEWEST, False)
    assert trigger == ledger.trigger


async def test_what_was_never_stored_does_not_exist() -> None:
    session = a_session(Reply(outcome=Outcome.UNCHANGED, revision_tag=NOTHING_STORED))

    reading = await read_feature(session.connection, FeatureKind.GATE, "checkout")

    assert reading == (None, NOTHING_STORED, False)
    with pytest.raises(CommandFailed, match=r"trigger gate\.checkout\.1 does not exist"):
        await find_trigger(session, "gate.checkout.1")


async def test_a_run_that_has_not_been_started_is_looked_for_nowhere_else() -> None:
    session = a_session(the_state(a_release()))

    with pytest.raises(CommandFailed, match=r"trigger gate\.checkout\.2 does not exist"):
        await find_trigger(session, "gate.checkout.2")


@pytest.mark.parametrize(
    "reply",
    [
        refused(refusals.unknown_command("read_feature", ["save_feature"])),
        the_state(a_release()).without_state("too large"),
    ],
    ids=["an older version", "too large"],
)
async def test_without_an_answer_nobody_is_told_that_something_does_not_exist(reply: Reply) -> None:
    session = a_session(reply)

    reading = await read_feature(session.connection, FeatureKind.GATE, "checkout")

    assert reading == (None, NOTHING_STORED, True)
    with pytest.raises(Unavailable, match="no scheduler confirms it"):
        await find_trigger(session, "gate.checkout.1")


async def test_a_key_that_was_revoked_reads_nothing() -> None:
    session = a_session(refused(refusals.revoked_key(PERSON)))

    with pytest.raises(CommandFailed, match="was revoked or never created"):
        await read_feature(session.connection, FeatureKind.GATE, "checkout")
