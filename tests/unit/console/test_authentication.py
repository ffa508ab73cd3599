"""A session of a provider lasts for a limited time, and only while its groups have grants."""

from typing import Any

from fastapi import Request

from services.console.authentication import Authentication, KeyVerifier
from services.console.backend import BackendProvider
from services.console.limits import RateLimiter
from services.console.oidc import IdentityProvider
from services.console.sessions import SESSION_FIELD
from services.console.settings import Settings
from sluiceway.contracts.identity import Grant, Role

SINCE_MS = 1_000_000
SESSION_MS = 60_000
SETTINGS = Settings(oidc_issuer="https://login.example", public_url="https://sluiceway.example")


class NoKeys(KeyVerifier):
    def valid_key(self, key_id: str) -> None:
        return None


#: The account of a session.
ACCOUNT = {"issuer": SETTINGS.oidc_issuer, "subject": "1"}


def request(since: int = SINCE_MS, **session: Any) -> Request:
    content = {"id": "one", "sinceMs": since, **session}
    return Request({"type": "http", "session": {SESSION_FIELD: content}})


def authentication(now_ms: int) -> Authentication:
    def clock() -> int:
        return now_ms

    provider = IdentityProvider(SETTINGS, {"sre": (Grant(role=Role.APPROVER),)})
    keys = NoKeys(BackendProvider(), clock)
    return Authentication(keys, RateLimiter(100), provider, SESSION_MS, clock, lambda session: False)


def test_a_session_of_a_provider_expires() -> None:
    ada = request(name="ada", account=ACCOUNT, groups=["sre"], since=SINCE_MS)
    at_first, at_last, after = (
        authentication(SINCE_MS + passed) for passed in (0, SESSION_MS - 1, SESSION_MS)
    )
    identity = at_first.session_identity(ada)

    assert identity
    assert at_last.session_identity(ada) == identity
    assert at_last.is_still_valid(ada, identity)
    assert after.session_identity(ada) is None
    assert not after.is_still_valid(ada, identity)


def test_a_group_without_grants_signs_nobody_in() -> None:
    assert (
        authentication(SINCE_MS).session_identity(
            request(name="ada", account=ACCOUNT, groups=["interns"], since=SINCE_MS)
        )
        is None
    )


def test_a_session_of_the_last_version_or_of_another_issuer_has_ended() -> None:
    before = Request({"type": "http", "session": {"name": "ada", "groups": ["sre"], "since": SINCE_MS}})
    elsewhere = {"issuer": "https://other.example", "subject": "1"}
    other = request(name="ada", account=elsewhere, groups=["sre"], since=SINCE_MS)

    assert authentication(SINCE_MS).session_identity(before) is None
    assert authentication(SINCE_MS).session_identity(other) is None
