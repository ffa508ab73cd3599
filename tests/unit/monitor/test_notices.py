"""What receivers are told, and who they are."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from services.monitor.notices import Notice, concerns, message_of, notice_of_event, notice_of_verdict
from services.monitor.receivers import Receiver, read_receivers
from sluiceway.contracts.commands import AbortTrigger, SkipPhase
from sluiceway.contracts.measurements import Verdict, VerdictChanged
from sluiceway.errors import Misconfigured
from sluiceway.messaging.feature_log import LoggedEvent
from tests.support.builders import a_freeze, a_release, happened

URL = "http://127.0.0.1/hook"


def a_receiver(**fields: Any) -> Receiver:
    return Receiver.model_validate({"name": "ops", "url": URL, **fields})


def an_abort(reason: str = "no <good> & done") -> Notice:
    return notice_of_event(LoggedEvent(7, happened(a_release().act(AbortTrigger, reason=reason))))


def test_an_event_is_told_as_a_cloud_event() -> None:
    body, headers = message_of(a_receiver(), an_abort(), 0)

    event = json.loads(body)
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert {name: event[name] for name in ("specversion", "id", "type", "source", "subject")} == {
        "specversion": "1.0",
        "id": "features-7",
        "type": "sluiceway.trigger_aborted",
        "source": "/sluiceway",
        "subject": "gate.checkout.1",
    }
    assert event["data"]["status"] == "ABORTED"
    assert event["data"]["pipeline"] == "release"
    assert "feature" not in json.dumps(event["data"]["held"])
    assert "webhook-signature" not in headers


def test_an_event_is_told_as_a_sentence_without_mark_up() -> None:
    body, _ = message_of(a_receiver(form="slack"), an_abort(), 0)

    assert json.loads(body) == {
        "text": "gate.checkout.1: trigger aborted at phase dev by ada: no &lt;good&gt; &amp; done"
    }


def test_an_overridden_freeze_is_told() -> None:
    ledger = a_release()
    ledger.freeze(a_freeze("weekends"))
    skipped = happened(ledger.act(SkipPhase, override_freeze=True, reason="a hotfix"))

    notice = notice_of_event(LoggedEvent(7, skipped))

    assert notice.data["overrode"] == ["weekends"]
    assert notice.sentence.endswith("by ada: a hotfix (overrode freeze weekends)")


def test_a_verdict_is_told_with_its_reason() -> None:
    change = VerdictChanged(
        trigger="gate.checkout.1",
        phase_id="dev",
        guardrail="errors",
        time_ms=0,
        before=Verdict.PASSING,
        verdict=Verdict.FAILED,
        reason="0.05 is too much",
    )

    notice = notice_of_verdict(3, change, "release")

    assert notice.sentence == "gate.checkout.1: guardrail errors is failed: 0.05 is too much"
    assert notice.data["before"] == "passing"


@pytest.mark.parametrize(
    ("secret", "key"),
    [("whsec_" + base64.b64encode(b"key").decode(), b"key"), ("plain", b"plain"), ("whsec_%", b"whsec_%")],
)
def test_the_signature_covers_id_time_and_body(secret: str, key: bytes) -> None:
    body, headers = message_of(a_receiver(secret=secret), an_abort(), 1_700_000_000)

    signed = b"features-7.1700000000." + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-id"] == "features-7"
    assert headers["webhook-timestamp"] == "1700000000"
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    from services.monitor.notices import signature

    headers = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_hears_what_it_asked_for() -> None:
    abort = an_abort()

    assert concerns(a_receiver(), abort)
    assert concerns(a_receiver(pipelines=["release"]), abort)
    assert not concerns(a_receiver(pipelines=["other"]), abort)
    assert not concerns(a_receiver(events=["trigger_started"]), abort)


def test_a_file_of_receivers_is_read_with_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    file = tmp_path / "receivers.yaml"
    file.write_text(f"[{{name: ops, url: '{URL}', secretFile: '{tmp_path / 'key'}'}}]")

    (receiver,) = read_receivers(file)

    assert receiver.secret
    assert receiver.secret.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(receiver)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("name: ops", "valid list"),
        ("[{name: ops}]", "url"),
        ("[{name: ops, url: nowhere}]", "url"),
        (f"[{{name: ops, url: '{URL}', events: [birthday]}}]", "there is no event 'birthday'"),
        (f"[{{name: ops, url: '{URL}', secret: a, secretFile: b}}]", "not both"),
        (f"[{{name: ops, url: '{URL}', secretFile: /nowhere}}]", "cannot be read"),
        (f"[{{name: ops, url: '{URL}'}}, {{name: ops, url: '{URL}'}}]", "two receivers have one name"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "receivers.yaml"
    file.write_text(text)

    with pytest.raises(Misconfigured, match=said):
        read_receivers(file)


def test_the_example_is_right_but_for_its_secret() -> None:
    with pytest.raises(Misconfigured, match="/run/secrets/sluiceway-ops"):
        read_receivers(Path("deploy/examples/receivers.yaml"))
