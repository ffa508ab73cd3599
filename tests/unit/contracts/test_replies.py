"""The bytes of a reply: the state as the log has it, and what the last version reads and wrote."""

import json

import pytest

from sluiceway.contracts.feature import Feature
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply, StoredReply
from tests.support.builders import a_release

#: Replies as the last version wrote them: with all fields.
REFUSED = (
    b'{"outcome":"refused","feature":null,"revision":null,"revisionTag":null,"message":null,"refusal":{"code":'
    b'"rate_limited","message":"send it again","possible":[],"retryAfterMs":500}}'
)
ACCEPTED = (
    b'{"outcome":"accepted","feature":%b,"revision":7,"revisionTag":"7-3f9a21bc","message":null,'
    b'"refusal":null}'
)


def a_stored_reply() -> StoredReply:
    event = a_release().events[-1]
    return StoredReply(
        outcome=Outcome.ACCEPTED,
        feature=event.feature,
        revision=7,
        revision_tag="7-3f9a21bc",
        stored_feature=event.feature.to_stored_json(),
    )


def test_a_reply_has_the_feature_as_the_log_has_it() -> None:
    event = a_release().events[-1]

    reply = json.loads(Reply(outcome=Outcome.UNCHANGED, feature=event.feature).to_json())

    assert reply == {"outcome": "unchanged", "feature": json.loads(event.to_json())["feature"]}


def test_a_reply_with_an_encoded_feature_has_the_same_bytes_and_encodes_it_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reply = a_stored_reply()
    plain = Reply(**dict(reply)).to_json()
    monkeypatch.delattr(Feature, "to_stored_json")

    assert reply.to_json() == plain


def test_a_reply_without_the_state_does_not_have_its_bytes_either() -> None:
    shortened = a_stored_reply().without_state("it is too large")

    assert "feature" not in json.loads(shortened.to_json())


def test_a_reply_is_read_as_it_was() -> None:
    reply = a_stored_reply()
    refusal = Refusal(code=RefusalCode.NOT_DUE, message="not yet", possible=("skip",), retry_after_ms=1)
    refused = Reply(outcome=Outcome.REFUSED, refusal=refusal, message="no")

    assert Reply.model_validate_json(reply.to_json()) == Reply(**dict(reply))
    assert Reply.model_validate_json(refused.to_json()) == refused


def test_replies_of_the_last_version_are_read() -> None:
    reply = a_stored_reply()
    assert reply.feature
    all_fields = reply.feature.model_dump_json().encode()

    assert Reply.model_validate_json(ACCEPTED % all_fields) == Reply(**dict(reply))
    assert Reply.model_validate_json(REFUSED).refusal == Refusal(
        code=RefusalCode.RATE_LIMITED, message="send it again", retry_after_ms=500
    )
