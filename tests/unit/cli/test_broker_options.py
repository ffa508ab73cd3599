"""What the options of `sluiceway broker-config` may be, so that none writes configuration of its own."""

import asyncio
import inspect
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.cli.broker_config import write_broker_config
from sluiceway.cli.broker_hosts import certificate_hosts, checked_hosts, hub_urls
from sluiceway.cli.session import CliSession, CommandFailed
from sluiceway.settings import BrokerSettings

HUB = {"region": ["dev"]}
LEAF = {"leaf": "dev", "hub": ["tls://hub"]}
#: Options whose values get into the configuration or a certificate → what is given besides.
WRITTEN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("region", "key", "operator", "alert_source", "cluster", "host"), HUB),
    **dict.fromkeys(("leaf", "hub"), LEAF),
}
#: Options that name files and folders, which the configuration does not.
PATHS = {"file", "secrets", "output"}
#: What ends a text, a line or a block of the configuration of nats-server, or means something else there.
HOSTILE = "\"'\n\r\t {}()$#;,=\\/%@\x00\u2028"
STARTS = (
    "",
    "a",
    "a.b",
    "fe80::1%",
    "::1",
    "[::1",
    "tls://",
    "tls://a",
    "tls://[fe80::1%",
    "tls://[::1",
    "*.a",
)
ENDS = (
    "",
    "a",
    "]",
    ".a",
    ":1",
    "]:1",
    ": 1}",
    " {",
    "\n}\nauthorization {user: x, password: y}\n#",
    'evil"]',
)


def written(**options: Any) -> None:
    """Call the command; `CommandFailed` if it refuses these options."""
    session = CliSession(BrokerSettings(), as_json=False, actor="ada")
    asyncio.run(write_broker_config(session, tls=True, **options))


def test_every_option_with_a_text_is_tested_here() -> None:
    texts = {
        name
        for name, parameter in inspect.signature(write_broker_config).parameters.items()
        if "str" in str(parameter.annotation)
    }

    assert texts == {*WRITTEN} | PATHS


@given(
    option=st.sampled_from(sorted(WRITTEN)),
    value=st.builds(
        "{}{}{}".format, st.sampled_from(STARTS), st.sampled_from(HOSTILE), st.sampled_from(ENDS) | st.text()
    ),
)
def test_no_option_brings_configuration_of_its_own(option: str, value: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = {**WRITTEN[option], option: value if option == "leaf" else [value]}
        if option == "host":
            options["secrets"] = f"{folder}/secrets"
        with pytest.raises(CommandFailed, match="invalid "):
            written(**options, output=f"{folder}/broker.conf")
        assert [*Path(folder).iterdir()] == []


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("nats", "nats"),
        ("NATS-1.Example.com", "nats-1.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("[0:0::1]", "::1"),
        ("a-b.c", "a-b.c"),
        ("x" * 63, "x" * 63),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str, name: str) -> None:
    assert checked_hosts([host]) == certificate_hosts([host]) == (name,)


def test_only_a_certificate_is_for_all_hosts_of_a_domain() -> None:
    assert certificate_hosts(["*.Example.com"]) == ("*.example.com",)
    with pytest.raises(CommandFailed, match=r"invalid host '\*\.example\.com'"):
        checked_hosts(["*.example.com"])
    with pytest.raises(CommandFailed, match=r"invalid host '\*\.example\.com'"):
        hub_urls(["tls://*.example.com"])


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "nats:4222",
        "-a",
        "a..b",
        "x" * 64,
        "tls://nats",
        "nats\n",
        "ü",
        "10.0.0.256",
        "[[::1]]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "*.",
        "*.*.a",
        "*.10.0.0.256",
    ],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    for checked in (checked_hosts, certificate_hosts):
        with pytest.raises(CommandFailed, match="invalid host"):
            checked([host])


def test_the_same_broker_twice_is_refused() -> None:
    with pytest.raises(CommandFailed, match="a is given twice"):
        checked_hosts(["a", "b", "A"])
    with pytest.raises(CommandFailed, match="tls://a:7422 is given twice"):
        hub_urls(["tls://a", "tls://a:7422"])
    assert hub_urls(["tls://a", "tls://a:7423"]) == ("tls://a:7422", "tls://a:7423")
