"""URLs of NATS: userinfo is decoded for the driver, and hidden from everybody else."""

import pytest

from sluiceway.errors import Misconfigured
from sluiceway.messaging.connection import connect_options
from sluiceway.messaging.faststream_options import faststream_options
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
    by_password = connect_options(BrokerSettings(nats_url="user:p%40@host"), "tests")
    by_token = connect_options(BrokerSettings(nats_url="t%40@host"), "tests")

    assert by_password["servers"] == by_token["servers"] == ["nats://host:4222"]
    assert (by_password["user"], by_password["password"], by_token["token"]) == ("user", "p@", "t@")


def test_faststream_gets_the_same_credentials() -> None:
    by_password = faststream_options(BrokerSettings(nats_url="user:p%40@host"), "tests")
    by_token = faststream_options(BrokerSettings(nats_url="t%40@host"), "tests")
    without = faststream_options(BrokerSettings(nats_url="host"), "tests")

    assert (by_password["security"].username, by_password["security"].password) == ("user", "p@")
    assert by_token["security"].token == "t@"
    assert "security" not in without
    assert not {"user", "password", "token", "tls"} & {*by_password, *by_token, *without}
