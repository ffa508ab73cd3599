"""What receivers are sent, and the file that lists them."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.monitor.notification_messages import (
    Notification,
    is_wanted,
    is_wanted_type,
    notification_of_event,
    notification_of_verdict,
    signature_headers,
    webhook_request,
)
from services.monitor.receivers import Receiver, read_receivers
from sluiceway.contracts.commands import AbortTrigger, SkipPhase
from sluiceway.contracts.measurements import Verdict, VerdictChanged
from sluiceway.errors import Misconfigured
from sluiceway.messaging.feature_log import LoggedEvent
from tests.support.builders import a_freeze, a_release, happened

URL = "http://127.0.0.1/hook"


def a_receiver(**fields: Any) -> Receiver:
    return Receiver.model_validate({"name": "ops", "url": URL, **fields})


def an_abort(reason: str = "no <good> & done") -> Notification:
    return notification_of_event(LoggedEvent(7, happened(a_release().act(AbortTrigger, reason=reason))))


def test_an_event_is_sent_as_a_cloud_event() -> None:
    body, headers = webhook_request(a_receiver(), an_abort(), 0)

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


def test_an_event_is_sent_as_a_sentence_without_mark_up() -> None:
    body, _ = webhook_request(a_receiver(form="slack"), an_abort(), 0)

    assert json.loads(body) == {
        "text": "gate.checkout.1: trigger aborted at phase dev by ada: no &lt;good&gt; &amp; done"
    }


def test_an_overridden_freeze_is_named() -> None:
    ledger = a_release()
    ledger.freeze(a_freeze("weekends"))
    skipped = happened(ledger.act(SkipPhase, override_freeze=True, reason="a hotfix"))

    notification = notification_of_event(LoggedEvent(7, skipped))

    assert notification.data["overrode"] == ["weekends"]
    assert notification.sentence.endswith("by ada: a hotfix (overrode freeze weekends)")


def test_a_verdict_is_sent_with_its_reason() -> None:
    change = VerdictChanged(
        trigger="gate.checkout.1",
        phase_id="dev",
        guardrail="errors",
        time_ms=0,
        before=Verdict.PASSING,
        verdict=Verdict.FAILED,
        reason="0.05 is too much",
    )

    notification = notification_of_verdict(3, change, "release")

    assert notification.sentence == "gate.checkout.1: guardrail errors is failed: 0.05 is too much"
    assert notification.data["before"] == "passing"


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_" + base64.b64encode(b"key!").decode(), b"key!"),
        ("whsec_" + base64.b64encode(b"key!").decode().rstrip("="), b"key!"),
        ("plain", b"plain"),
        ("whsec_%", b"whsec_%"),
        ("whsec_", b"whsec_"),
        ("whsec_ü", "whsec_ü".encode()),
    ],
)
def test_the_signature_covers_id_time_and_body(secret: str, key: bytes) -> None:
    body, headers = webhook_request(a_receiver(secret=secret), an_abort(), 1_700_000_000)

    signed = b"features-7.1700000000." + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-id"] == "features-7"
    assert headers["webhook-timestamp"] == "1700000000"
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    ("secret", "secret_of_the_library"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("any text", base64.b64encode(b"any text").decode()),
    ],
)
def test_a_receiver_verifies_the_signature_with_its_library(secret: str, secret_of_the_library: str) -> None:
    body, headers = webhook_request(a_receiver(secret=secret), an_abort("für Grüße"), int(time.time()))

    verified = Webhook(secret_of_the_library).verify(body, headers)

    assert verified["id"] == "features-7"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of_the_library).verify(body + b" ", headers)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    headers = signature_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_gets_the_events_that_it_subscribes_to() -> None:
    abort = an_abort()

    assert is_wanted(a_receiver(), abort)
    assert is_wanted(a_receiver(pipelines=["release"]), abort)
    assert not is_wanted(a_receiver(pipelines=["other"]), abort)
    assert not is_wanted(a_receiver(events=["trigger_started"]), abort)


def test_a_file_of_receivers_is_read_with_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    file = tmp_path / "receivers.yaml"
    file.write_text(f"[{{name: ops, url: '{URL}', secretFile: '{tmp_path / 'key'}'}}]")

    (receiver,) = read_receivers(file)

    assert receiver.secret
    assert receiver.secret.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(receiver)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "cannot read"),
        ("name: ops", "valid list"),
        ("[{name: ops}]", "url"),
        ("[{name: ops, url: nowhere}]", "url"),
        (f"[{{name: ops, url: '{URL}', events: [birthday]}}]", "unknown event 'birthday'"),
        (f"[{{name: ops, url: '{URL}', secret: a, secretFile: b}}]", "both set"),
        (f"[{{name: ops, url: '{URL}', secretFile: /nowhere}}]", "cannot read"),
        (f"[{{name: ops, url: '{URL}'}}, {{name: ops, url: '{URL}'}}]", "duplicate receiver 'ops'"),
    ],
)
def test_an_invalid_file_is_refused_with_its_error(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "receivers.yaml"
    file.write_text(text)

    with pytest.raises(Misconfigured, match=error):
        read_receivers(file)


def test_the_example_is_valid_but_for_its_secret() -> None:
    with pytest.raises(Misconfigured, match="/run/secrets/sluiceway-ops"):
        read_receivers(Path("deploy/examples/receivers.yaml"))


@pytest.mark.parametrize(
    ("header", "is_parsed"),
    [
        ("sluiceway.trigger_aborted", True),
        ("sluiceway.phase_advanced", False),
        ("sluiceway.guardrail_verdict", True),
        (None, True),
        ("lies", False),
    ],
)
def test_a_message_is_parsed_only_if_its_type_may_be_wanted(header: str | None, is_parsed: bool) -> None:
    assert is_wanted_type(a_receiver(), header) is is_parsed
