"""Secrets lose the white space around them; one that cannot be one is named, and never shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.console.settings import Settings as ConsoleSettings
from services.monitor.receivers import read_receivers
from services.monitor.settings import Settings as MonitorSettings
from sluiceway.client import Client
from sluiceway.errors import Misconfigured
from sluiceway.messaging.credentials import CredentialsFile, read_credentials
from sluiceway.redaction import hide_userinfo
from sluiceway.settings import ServiceSettings, checked_token, read_settings

TOKENS: dict[str, type[ServiceSettings]] = {
    "SLUICEWAY_PROMETHEUS_TOKEN": MonitorSettings,
    "SLUICEWAY_ALERTMANAGER_TOKEN": MonitorSettings,
    "SLUICEWAY_OIDC_CLIENT_SECRET": ConsoleSettings,
}
SETTINGS: dict[str, type[ServiceSettings]] = {**TOKENS, "SLUICEWAY_SESSION_SECRET": ConsoleSettings}
SECRET = "s3cr3t-" * 6
CREDENTIALS = f"""\
-----BEGIN NATS USER JWT-----
eyJ0.{SECRET}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
SU{SECRET}
------END USER NKEY SEED------
"""


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("form", ["{}\n", "{}\r\n", "  {}\t", "\n{}\n\n", "{}"])
def test_white_space_around_a_secret_is_no_part_of_it(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, form.format(SECRET))

    read = read_settings(SETTINGS[name])

    secret = getattr(read, name.removeprefix("SLUICEWAY_").lower())
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == SECRET
    assert SECRET not in repr(read)


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(
    "form", ["{} x", "{}\nx", "{}\tx", "{}\x00", "{}\x7f", "{}é", "{}\u200b", "{}\u2028x", " \n"]
)
def test_a_token_that_cannot_be_one_is_named_and_not_shown(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "\x00" not in form:  # an environment cannot hold one
        monkeypatch.setenv(name, form.format(SECRET))
    given = {name.removeprefix("SLUICEWAY_").lower(): form.format(SECRET)} if "\x00" in form else {}

    with pytest.raises(Misconfigured, match=f"^invalid setting {name}: this (secret|token) ") as error:
        read_settings(TOKENS[name], **given)

    assert SECRET not in str(error.value)
    assert error.value.__suppress_context__


def test_files_of_a_folder_are_settings_and_the_environment_goes_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLUICEWAY_ALERTMANAGER_TOKEN", "SLUICEWAY_PROMETHEUS_TOKEN"):
        (tmp_path / name).write_text(f"{SECRET}\n")
    (tmp_path / "ca.pem").write_text("something else")
    monkeypatch.setenv("SLUICEWAY_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICEWAY_ALERTMANAGER_TOKEN", "")  # as Compose sets what is not given
    monkeypatch.setenv("SLUICEWAY_PROMETHEUS_TOKEN", "another")

    read = read_settings(MonitorSettings)

    assert read.alertmanager_token
    assert read.alertmanager_token.get_secret_value() == SECRET
    assert read.prometheus_token
    assert read.prometheus_token.get_secret_value() == "another"


@pytest.mark.parametrize("content", [b"\xff" + SECRET.encode(), f"{SECRET}\nx".encode()])
def test_a_file_of_the_folder_without_a_secret_is_named_and_not_shown(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "SLUICEWAY_ALERTMANAGER_TOKEN").write_bytes(content)
    monkeypatch.setenv("SLUICEWAY_SECRETS_DIR", str(tmp_path))

    with pytest.raises(Misconfigured, match=r"(?i)alertmanager_token") as raised:
        read_settings(MonitorSettings)

    assert SECRET not in str(raised.value)


def test_a_folder_of_secrets_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        monkeypatch.setenv("SLUICEWAY_SECRETS_DIR", str(folder))

        with pytest.raises(Misconfigured, match=f"invalid setting SLUICEWAY_SECRETS_DIR: {folder} is not"):
            read_settings(MonitorSettings)


def test_what_is_not_a_file_of_the_folder_is_named_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, secret = tmp_path / "secrets", tmp_path / "secret"
    folder.mkdir()
    secret.write_text(SECRET)
    (folder / "another").mkdir()
    monkeypatch.setenv("SLUICEWAY_SECRETS_DIR", str(folder))
    entry = folder / "SLUICEWAY_ALERTMANAGER_TOKEN"

    def is_refused() -> None:
        with pytest.raises(
            Misconfigured, match=f"invalid setting {entry.name}: {entry} is not a file"
        ) as raised:
            read_settings(MonitorSettings)
        assert SECRET not in str(raised.value)

    entry.mkdir()  # what Docker makes of a file that is not there
    is_refused()
    entry.rmdir()
    for target in (secret, "missing", entry):
        entry.symlink_to(target)
        is_refused()
        entry.unlink()
    assert read_settings(MonitorSettings).alertmanager_token is None


def test_a_file_of_the_folder_may_be_a_link_within_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So Kubernetes mounts secrets."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "SLUICEWAY_ALERTMANAGER_TOKEN").write_text(SECRET)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "SLUICEWAY_ALERTMANAGER_TOKEN").symlink_to("..data/SLUICEWAY_ALERTMANAGER_TOKEN")
    monkeypatch.setenv("SLUICEWAY_SECRETS_DIR", str(tmp_path))

    token = read_settings(MonitorSettings).alertmanager_token

    assert token
    assert token.get_secret_value() == SECRET


def test_a_session_secret_may_be_a_phrase_of_the_required_length() -> None:
    phrase = "größere Pferde stehen richtig lange"

    assert read_settings(ConsoleSettings, session_secret=f"{phrase}\n").session_secret == SecretStr(phrase)
    with pytest.raises(Misconfigured, match=r"SESSION_SECRET: .*32"):
        read_settings(ConsoleSettings, session_secret=f"short{' ' * 40}")


def test_every_invalid_setting_is_named() -> None:
    with pytest.raises(Misconfigured) as error:
        read_settings(ServiceSettings, log_level="loud", http_port="http")

    assert "SLUICEWAY_LOG_LEVEL" in str(error.value)
    assert "SLUICEWAY_HTTP_PORT" in str(error.value)


def test_an_error_of_pydantic_shows_no_secret() -> None:
    with pytest.raises(ValidationError) as error:
        MonitorSettings(prometheus_token=SecretStr(f"{SECRET} x"))

    assert SECRET not in str(error.value)


def test_the_secret_of_a_receiver_is_checked(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"\n{SECRET}\r\n")
    receivers = tmp_path / "receivers.yaml"
    receivers.write_text(
        f"- {{name: inline, url: 'https://hooks.example.com/{SECRET}\\n', secret: ' {SECRET} '}}\n"
        f"- {{name: file, url: 'https://hooks.example.com/', secretFile: {tmp_path / 'key'}}}\n"
    )

    assert [r.secret and r.secret.get_secret_value() for r in read_receivers(receivers)] == [SECRET, SECRET]


@pytest.mark.parametrize("content", [b" \n", b"a\nb", b"\xff", b"a\0"])
def test_a_secret_file_without_a_secret_is_named(content: bytes, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    receivers = tmp_path / "receivers.yaml"
    receivers.write_text(f"- {{name: ops, url: 'https://example.com/', secretFile: {key}}}")

    with pytest.raises(Misconfigured, match=f"cannot read secretFile {key} of the receiver 'ops': "):
        read_receivers(receivers)


def test_the_url_of_a_receiver_is_a_secret_too(tmp_path: Path) -> None:
    receivers = tmp_path / "receivers.yaml"
    receivers.write_text(f"- {{name: ops, url: 'https://hooks.example.com/{SECRET} x'}}")

    with pytest.raises(Misconfigured, match=r"0\.url: this token is invalid") as error:
        read_receivers(receivers)

    assert SECRET not in str(error.value)


@pytest.mark.parametrize("key", ["secret-a b", "secret-a\nb", "  "])
def test_an_sdk_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(Misconfigured, match=r"^invalid SDK key: "):
        Client("dev", transport="edge", url="http://edge", key=key)

    assert Client("dev", transport="edge", url="http://edge", key=" secret-a\n")


def test_a_credentials_file_of_another_system_is_read(tmp_path: Path) -> None:
    file = tmp_path / "user.creds"
    file.write_bytes(CREDENTIALS.replace("\n", "  \r\n").encode())

    assert read_credentials(file) == CREDENTIALS
    assert CredentialsFile(file).data == CREDENTIALS


@pytest.mark.parametrize(
    "content",
    [b"", b"eyJ0.x", CREDENTIALS[:40].encode(), CREDENTIALS.replace("SU", "SU ").encode(), b"\xff"],
)
def test_a_file_that_holds_no_credentials_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "user.creds"
    file.write_bytes(content)

    with pytest.raises(Misconfigured, match=f"SLUICEWAY_NATS_CREDS: file {file} has no user JWT") as error:
        read_credentials(file)

    assert SECRET not in str(error.value)
    with pytest.raises(ConnectionError):  # the driver tries again: the file may be half written
        _ = CredentialsFile(file).data


def test_a_missing_credentials_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read: No such file"):
        read_credentials(tmp_path / "user.creds")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:pw@host:9090/x", "http://***@host:9090/x"),
        ("nats://user:p/w@x@host", "nats://***@host"),
        ("user:pw@host", "***@host"),
        ("nats://token@host", "nats://***@host"),
        ("http://host:9090/x", "http://host:9090/x"),
        ("nats://us er:p\nw@host", "nats://***@host"),
    ],
)
def test_userinfo_is_hidden(url: str, shown: str) -> None:
    assert hide_userinfo(url) == shown


def test_a_token_is_visible_ascii() -> None:
    assert checked_token("".join(map(chr, range(0x21, 0x7F)))) == "".join(map(chr, range(0x21, 0x7F)))
