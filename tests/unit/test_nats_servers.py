"""URLs of NATS: userinfo is decoded for the driver, and hidden from everybody else."""

import pytest

from sluiceway.errors import Misconfigured
from sluiceway.messaging.connection import connect_options
from sluiceway.messaging.credentials import credential_options
from sluiceway.nats_servers import NatsServers, UserInfo
from sluiceway.settings import BrokerSettings, read_settings

PASSWORD = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "urls", "user"),
    [
        ("nats://host:4222", ("nats://host:4222",), None),
        ("host", ("nats://host:4222",), None),
        ("host:5222", ("nats://host:5222",), None),
        ("nats://[::1]", ("nats://[::1]:4222",), None),
        (" tls://a:1 , b:2,\n", ("tls://a:1", "nats://b:2"), None),
        ("wss://host/nats/", ("wss://host/nats",), None),
        ("nats://user:p%40ss%2Fw%3Ard%25@host", ("nats://host:4222",), UserInfo("user", "p@ss/w:rd%")),
        ("nats://user:p@ss:word@host:1", ("nats://host:1",), UserInfo("user", "p@ss:word")),
        ("us%20er:%C3%A9+%zz@host", ("nats://host:4222",), UserInfo("us er", "é+%zz")),
        ("nats://user:@host", ("nats://host:4222",), UserInfo("user", "")),
        ("nats://to%2Fken@host", ("nats://host:4222",), UserInfo("to/ken", None)),
        (
            "nats://u:p@a,nats://u:p@b,c",
            ("nats://a:4222", "nats://b:4222", "nats://c:4222"),
            UserInfo("u", "p"),
        ),
    ],
)
def test_urls_are_split_from_their_userinfo(text: str, urls: tuple[str, ...], user: UserInfo | None) -> None:
    assert NatsServers.parse(text) == NatsServers(urls, user)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"nats://user:{PASSWORD}/x@host", "'nats://***@host'"),
        (f"nats://user:{PASSWORD}@:4222", "'nats://***@:4222'"),
        (f"nats://user:{PASSWORD}@host:port", "'nats://***@host:port'"),
        (f"nats://user:{PASSWORD}#x@host", "'nats://***@host'"),
        (f"nats://user:{PASSWORD},x@a,nats://b", "'nats://***@a,nats://b'"),
        (f"nats://user:{PASSWORD}%ff@host", "'nats://***@host'"),
        (f"nats://user:{PASSWORD}", "'nats://user:***'"),
        (f"user:{PASSWORD}, host:4222", "'user:***, host:4222'"),
        (f"http://user:{PASSWORD}@host", "'http://***@host'"),
        (f"nats://user:{PASSWORD} @host", "'nats://***@host'"),
        (f"nats://[user:{PASSWORD}@host", "'nats://***@host'"),
        (f"nats://host/{PASSWORD}@x", "'nats://***@x'"),
        (f"nats://a:{PASSWORD}@h,nats://b:{PASSWORD}@i", "names several users"),
        (" , ", "' , '"),
    ],
)
def test_an_invalid_url_is_refused_without_its_password(
    text: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICEWAY_NATS_URL", text)

    with pytest.raises(Misconfigured, match=r"^invalid setting SLUICEWAY_NATS_URL: ") as error:
        read_settings(BrokerSettings)

    assert shown in str(error.value)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize("userinfo", [f"user:{PASSWORD}", PASSWORD])
def test_settings_show_no_password(userinfo: str) -> None:
    settings = BrokerSettings(nats_url=f"nats://{userinfo}@a:1,nats://{userinfo}@b:2")

    assert str(settings.nats_url) == "nats://***@a:1,nats://***@b:2"
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert PASSWORD not in shown


def test_the_driver_gets_each_part_by_itself() -> None:
    by_password = BrokerSettings(nats_url="user:p%40@host")
    by_token = BrokerSettings(nats_url="t%40@host")

    assert connect_options(by_password, "tests")["servers"] == ["nats://host:4222"]
    assert credential_options(by_password) == {"user": "user", "password": "p@"}
    assert credential_options(by_token) == {"token": "t@"}
    assert credential_options(BrokerSettings(nats_url="host")) == {}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"nats_url": f"user:{PASSWORD}@host", "nats_creds": "f"}, "a user in SLUICEWAY_NATS_URL and"),
        ({"nats_nkey": "f", "nats_creds": "f"}, "SLUICEWAY_NATS_CREDS and SLUICEWAY_NATS_NKEY are set"),
        ({"nats_user": "user"}, "SLUICEWAY_NATS_USER and SLUICEWAY_NATS_PASSWORD_FILE need each other"),
        ({"nats_password_file": "f"}, "SLUICEWAY_NATS_USER and SLUICEWAY_NATS_PASSWORD_FILE need each other"),
        ({"nats_key": "f"}, "SLUICEWAY_NATS_KEY needs SLUICEWAY_NATS_CERT"),
        ({"nats_url": "ws://host", "nats_ca": "f"}, "SLUICEWAY_NATS_URL has ws://, which has no TLS"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, str], error: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_settings(BrokerSettings, **settings)

    assert error in str(refused.value)
    assert PASSWORD not in str(refused.value)
