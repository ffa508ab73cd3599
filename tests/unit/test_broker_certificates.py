"""The certificates of a broker: whole, private, renewed in time, and never written over."""

import datetime
import os
import ssl
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from sluiceway.cli import broker_certificates, whole_files
from sluiceway.cli.broker_certificates import (
    RENEWED_BEFORE_DAYS,
    SERVER_DAYS,
    keep_certificates,
)
from sluiceway.cli.session import CommandFailed

NOW = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
FILES = ("ca-key.pem", "ca.pem", "server-key.pem", "server.pem")


@pytest.fixture(autouse=True)
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def certificate(folder: Path, name: str = "server.pem") -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / name).read_bytes())


def test_a_new_folder_gets_an_authority_and_a_certificate_for_all_names(tmp_path: Path) -> None:
    notes = keep_certificates(tmp_path, ["nats.example.com", "10.0.0.7"], NOW)

    names = certificate(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {*names.get_values_for_type(x509.DNSName)} == {"localhost", "nats.example.com"}
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1", "10.0.0.7"}
    assert tuple(contents(tmp_path)) == FILES
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    assert "server.pem, until 2027-11-28, for 10.0.0.7, 127.0.0.1, ::1, localhost, nats.example" in notes[-1]
    ssl.create_default_context(cafile=tmp_path / "ca.pem").load_cert_chain(
        tmp_path / "server.pem", tmp_path / "server-key.pem"
    )


def test_a_second_run_changes_nothing_and_says_nothing(tmp_path: Path) -> None:
    keep_certificates(tmp_path, ["nats"], NOW)
    before = contents(tmp_path)

    assert keep_certificates(tmp_path, [], NOW + DAY) == []
    assert contents(tmp_path) == before


def test_a_certificate_that_soon_ends_is_renewed_and_keeps_key_names_and_authority(tmp_path: Path) -> None:
    keep_certificates(tmp_path, ["nats"], NOW)
    before, names = contents(tmp_path), _names(tmp_path)
    later = NOW + (SERVER_DAYS - RENEWED_BEFORE_DAYS) * DAY

    assert keep_certificates(tmp_path, [], later - DAY) == []
    (note,) = keep_certificates(tmp_path, [], later + DAY)

    assert note.startswith(f"renewed {tmp_path / 'server.pem'}, until ")
    after = contents(tmp_path)
    assert {name for name in FILES if before[name] != after[name]} == {"server.pem"}
    assert certificate(tmp_path).not_valid_after_utc == later + DAY + SERVER_DAYS * DAY
    assert _names(tmp_path) == names


def _names(folder: Path) -> set[str]:
    return broker_certificates._names(certificate(folder))


def test_a_certificate_that_is_a_link_is_renewed_where_it_is(tmp_path: Path) -> None:
    folder, managed = tmp_path / "secrets", tmp_path / "managed.pem"
    folder.mkdir()
    keep_certificates(folder, [], NOW)
    (folder / "server.pem").rename(managed)
    (folder / "server.pem").symlink_to(managed)

    keep_certificates(folder, ["nats"], NOW)

    assert (folder / "server.pem").is_symlink()
    assert "nats" in broker_certificates._names(certificate(tmp_path, "managed.pem"))


def test_a_name_is_added_to_those_that_it_has(tmp_path: Path) -> None:
    keep_certificates(tmp_path, ["nats-1"], NOW)

    (note,) = keep_certificates(tmp_path, ["nats-2"], NOW)

    assert note.startswith("added names to ")
    assert _names(tmp_path) >= {"nats-1", "nats-2", "localhost"}


def test_a_certificate_does_not_outlive_its_authority_of_whose_end_one_is_warned(tmp_path: Path) -> None:
    keep_certificates(tmp_path, [], NOW)
    end = certificate(tmp_path, "ca.pem").not_valid_after_utc

    warning, note = keep_certificates(tmp_path, [], end - 100 * DAY)

    assert warning.startswith(f"{tmp_path / 'ca.pem'} ends on {end.date()}")
    assert note.startswith("renewed ")
    assert certificate(tmp_path).not_valid_after_utc == end


def test_without_the_key_of_the_authority_nothing_is_signed_but_said(tmp_path: Path) -> None:
    keep_certificates(tmp_path, ["nats"], NOW)
    (tmp_path / "ca-key.pem").unlink()
    before = contents(tmp_path)

    assert keep_certificates(tmp_path, ["nats"], NOW) == []
    (note,) = keep_certificates(tmp_path, ["other"], NOW)
    (late,) = keep_certificates(tmp_path, [], NOW + SERVER_DAYS * DAY - DAY)

    assert "server.pem does not name other; it cannot be signed again" in note
    assert "server.pem ends on 2027-11-28; it cannot be signed again" in late
    assert contents(tmp_path) == before
    (tmp_path / "server.pem").unlink()
    with pytest.raises(
        CommandFailed, match=r"none can be signed without .*ca-key.pem: put one there that ca.pem"
    ):
        keep_certificates(tmp_path, [], NOW)


def test_files_that_do_not_belong_together_are_named_and_kept(tmp_path: Path) -> None:
    one, other = _two_folders(tmp_path)
    for name, problem in (
        ("server-key.pem", "server-key.pem is not the key of .*server.pem"),
        ("ca-key.pem", "ca-key.pem is not the key of .*ca.pem"),
    ):
        mine = (one / name).read_bytes()
        (one / name).write_bytes((other / name).read_bytes())
        before = contents(one)
        with pytest.raises(CommandFailed, match=problem):
            keep_certificates(one, ["new"], NOW)
        assert contents(one) == before
        (one / name).write_bytes(mine)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_something_else_is_named_and_kept(tmp_path: Path, name: str) -> None:
    keep_certificates(tmp_path, [], NOW)
    (tmp_path / name).write_text("mine")

    with pytest.raises(CommandFailed, match=f"{name} has no (key|certificate) in PEM"):
        keep_certificates(tmp_path, ["new"], NOW)
    assert (tmp_path / name).read_text() == "mine"


def test_an_authority_that_has_ended_signs_nothing(tmp_path: Path) -> None:
    keep_certificates(tmp_path, [], NOW)
    end = certificate(tmp_path, "ca.pem").not_valid_after_utc
    keep_certificates(tmp_path, [], end - 20 * DAY)
    before = contents(tmp_path)

    (warning,) = keep_certificates(tmp_path, [], end - 10 * DAY)  # nothing that is signed now ends later

    assert "needs another one" in warning
    for key_is_elsewhere in (False, True):
        if key_is_elsewhere:
            (tmp_path / "ca-key.pem").rename(tmp_path / "elsewhere.pem")
        with pytest.raises(
            CommandFailed, match=rf"ca.pem has ended on {end.date()}: put another one and its key"
        ):
            keep_certificates(tmp_path, ["new"], end + DAY / 2)
    (tmp_path / "elsewhere.pem").rename(tmp_path / "ca-key.pem")
    assert contents(tmp_path) == before

    for name in ("ca.pem", "ca-key.pem", "server.pem"):  # what it says
        (tmp_path / name).unlink()
    keep_certificates(tmp_path, ["new"], end + DAY)
    certificate(tmp_path).verify_directly_issued_by(certificate(tmp_path, "ca.pem"))


def test_what_was_signed_by_a_clock_that_was_ahead_is_signed_again(tmp_path: Path) -> None:
    keep_certificates(tmp_path, [], NOW)
    keep_certificates(tmp_path, [], NOW + SERVER_DAYS * DAY)
    assert certificate(tmp_path).not_valid_before_utc > NOW

    (note,) = keep_certificates(tmp_path, [], NOW)

    assert note.startswith("renewed ")
    assert certificate(tmp_path).not_valid_before_utc < NOW


def test_an_authority_of_a_clock_that_was_ahead_is_named(tmp_path: Path) -> None:
    keep_certificates(tmp_path, [], NOW + SERVER_DAYS * DAY)

    for _ in range(2):
        with pytest.raises(CommandFailed, match=r"ca.pem is not valid before 2027-11-27: correct the clock"):
            keep_certificates(tmp_path, ["new"], NOW)
        (tmp_path / "ca-key.pem").unlink(missing_ok=True)


def test_a_certificate_of_no_authority_signs_nothing(tmp_path: Path) -> None:
    keep_certificates(tmp_path, [], NOW)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "server.pem").read_bytes())
    (tmp_path / "ca-key.pem").write_bytes((tmp_path / "server-key.pem").read_bytes())
    before = contents(tmp_path)

    with pytest.raises(CommandFailed, match=r"ca.pem may not sign certificates"):
        keep_certificates(tmp_path, ["new"], NOW)
    assert contents(tmp_path) == before


def test_without_its_key_a_certificate_of_another_authority_is_noted(tmp_path: Path) -> None:
    one, other = _two_folders(tmp_path)
    (one / "ca-key.pem").unlink()
    (one / "ca.pem").write_bytes((other / "ca.pem").read_bytes())

    (note,) = keep_certificates(one, [], NOW)

    assert note.startswith(
        f"{one / 'server.pem'} is signed by no certificate in ca.pem, so clients refuse it"
    )
    (one / "ca.pem").write_bytes((one / "server.pem").read_bytes())  # one that it may not be of
    (note,) = keep_certificates(one, [], NOW)
    assert "server.pem is signed by no certificate in ca.pem, so clients refuse it" in note


def test_an_authority_is_changed_by_way_of_both_in_one_file(tmp_path: Path) -> None:
    old, new = _two_folders(tmp_path)
    both = (new / "ca.pem").read_bytes() + (old / "ca.pem").read_bytes()
    (old / "ca.pem").write_bytes(both)
    before = contents(old)

    assert keep_certificates(old, [], NOW) == []  # the old key is there: clients do not know the new one yet
    (old / "ca-key.pem").write_bytes((new / "ca-key.pem").read_bytes())
    (note,) = keep_certificates(old, [], NOW)

    assert note.startswith("signed again, for another authority, ")
    certificate(old).verify_directly_issued_by(certificate(new, "ca.pem"))
    assert contents(old)["ca.pem"] == both
    assert contents(old)["server-key.pem"] == before["server-key.pem"]
    (old / "ca-key.pem").unlink()
    assert keep_certificates(old, [], NOW) == []


def _two_folders(folder: Path) -> tuple[Path, Path]:
    one, other = folder / "one", folder / "other"
    for created in (one, other):
        created.mkdir()
        keep_certificates(created, [], NOW)
    return one, other


def test_many_at_the_same_time_end_with_one_authority_and_what_it_signed(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for work in [pool.submit(keep_certificates, tmp_path, ["nats"], NOW) for _ in range(8)]:
            work.result()

    assert tuple(contents(tmp_path)) == FILES
    certificate(tmp_path).verify_directly_issued_by(certificate(tmp_path, "ca.pem"))
    ssl.create_default_context().load_cert_chain(tmp_path / "server.pem", tmp_path / "server-key.pem")


def test_a_run_that_was_killed_in_the_middle_is_finished_by_the_next_one(tmp_path: Path) -> None:
    keep_certificates(tmp_path, [], NOW)
    whole = contents(tmp_path)
    for number in range(1, len(FILES)):  # they are created in this order
        for name in FILES[number:]:
            (tmp_path / name).unlink()
        keep_certificates(tmp_path, [], NOW)

        ssl.create_default_context().load_cert_chain(tmp_path / "server.pem", tmp_path / "server-key.pem")
        certificate(tmp_path).verify_directly_issued_by(certificate(tmp_path, "ca.pem"))
    assert contents(tmp_path)["ca-key.pem"] == whole["ca-key.pem"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandFailed, match=r"cannot write .*ca-key.pem: No space left on device"):
        keep_certificates(tmp_path, [], NOW)
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(CommandFailed, match="cannot create the folder"):
        whole_files.create_folder(Path("/proc/secrets"))
