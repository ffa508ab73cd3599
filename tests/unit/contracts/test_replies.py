"""The bytes of a reply: the state as the log has it, and what the last version reads and wrote."""

import json

import pytest
from pydantic import ValidationError

from sluiceway.contracts.feature import Feature
from sluiceway.contracts.replies import EncodedFeature, Outcome, Refusal, RefusalCode, Reply
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


FEATURE = a_release().events[-1].feature


def a_reply() -> Reply:
    return Reply(outcome=Outcome.ACCEPTED, feature=FEATURE, revision=7, revision_tag="7-3f9a21bc")


def a_stored_reply() -> Reply:
    """Return the same reply, as the scheduler makes it after it has stored the feature."""
    return a_reply().model_copy(update={"state": EncodedFeature(FEATURE.to_stored_json(), FEATURE)})


def test_a_reply_has_the_feature_as_the_log_has_it() -> None:
    event = a_release().events[-1]

    reply = json.loads(Reply(outcome=Outcome.UNCHANGED, feature=event.feature).to_json())

    assert reply == {"outcome": "unchanged", "feature": json.loads(event.to_json())["feature"]}


def test_a_reply_with_an_encoded_feature_has_the_same_bytes_and_encodes_it_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reply = a_stored_reply()
    plain = a_reply().to_json()
    monkeypatch.delattr(Feature, "to_stored_json")

    assert reply.to_json() == plain


def test_a_reply_without_the_state_does_not_have_its_bytes_either() -> None:
    shortened = a_stored_reply().without_state("it is too large")

    assert "feature" not in json.loads(shortened.to_json())


def test_a_reply_is_read_as_it_was() -> None:
    refusal = Refusal(code=RefusalCode.NOT_DUE, message="not yet", possible=("skip",), retry_after_ms=1)
    refused = Reply(outcome=Outcome.REFUSED, refusal=refusal, message="no")

    assert Reply.read(a_stored_reply().to_json()) == a_reply()
    assert Reply.model_validate_json(a_stored_reply().to_json()) == a_reply()
    assert Reply.read(refused.to_json()) == refused
    assert Reply.read(a_reply().to_json()) != a_reply().model_copy(update={"state": None})


def test_the_feature_of_a_reply_is_parsed_when_somebody_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data, parsed = a_stored_reply().to_json(), list[Feature]()
    parse = Feature.model_validate_json

    def counted(*args: object, **options: object) -> Feature:
        parsed.append(parse(*args, **options))  # type: ignore[arg-type]
        return parsed[-1]

    monkeypatch.setattr(Feature, "model_validate_json", counted)
    reply = Reply.read(data)

    assert (reply.outcome, reply.revision, reply.revision_tag) == (Outcome.ACCEPTED, 7, "7-3f9a21bc")
    assert reply.to_json() == data
    assert parsed == []
    assert reply.feature == reply.feature == FEATURE
    assert parsed == [FEATURE]


def test_a_reply_has_the_same_json_whether_its_feature_is_parsed_or_not() -> None:
    received = Reply.read(a_stored_reply().to_json())

    assert received.to_jsonable() == a_reply().to_jsonable()
    assert received.model_dump() == a_stored_reply().model_dump() == a_reply().model_dump()
    assert received.model_dump_json() == a_reply().model_dump_json()


def test_what_is_not_a_feature_is_an_error_when_somebody_asks_for_it() -> None:
    received = Reply.read(b'{"outcome":"accepted","feature":{"kind":"gate","name":"no name"},"later":1}')

    assert received.outcome is Outcome.ACCEPTED
    with pytest.raises(ValidationError):
        received.feature  # noqa: B018


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"outcome":"accepted"',
        b'{"outcome":"accepted"}}',
        b'{"outcome":"done","feature":null}',
        b'{"feature":' + b"[" * 100_000 + b"}",
        b'{"\xff":1}',
    ],
)
def test_what_is_not_a_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(ValidationError):
        Reply.read(data)


def test_replies_of_the_last_version_are_read() -> None:
    reply, all_fields = a_reply(), FEATURE.model_dump_json().encode()

    assert Reply.read(ACCEPTED % all_fields) == reply
    assert Reply.read(ACCEPTED % b"null").feature is None
    assert Reply.read(REFUSED).refusal == Refusal(
        code=RefusalCode.RATE_LIMITED, message="send it again", retry_after_ms=500
    )
