"""The certificates of a broker: an authority of its own, and what the authority signs for the broker's names.

Keys are created before certificates, and a certificate that is renewed keeps its key. So the files
belong together at every moment, also if two processes write them.
"""

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .session import CommandFailed
from .whole_files import create_file, read_file, replace_file

CA, CA_KEY = "ca.pem", "ca-key.pem"
SERVER, SERVER_KEY = "server.pem", "server-key.pem"
#: The names by which a broker is reached on its own host.
OWN_HOST = ("localhost", "127.0.0.1", "::1")

AUTHORITY_DAYS = 3_650
SERVER_DAYS = 365
#: A certificate of the broker that ends sooner is renewed.
RENEWED_BEFORE_DAYS = 60
#: An authority that ends sooner is warned of: another one has to be given to everybody who connects.
AUTHORITY_WARNING_DAYS = 365
#: Clocks of other hosts may be behind by less than this.
CLOCKS_DIFFER_DAYS = 1

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
SigningPublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def keep_certificates(folder: Path, hosts: Iterable[str], now: datetime.datetime) -> list[str]:
    """Create the certificates that are missing, and renew the broker's; return what was done, or is to do.

    `ca.pem` may have several authorities, of which the one whose key is in the folder signs: so that clients
    know a new one before the broker's certificate is of it. Without a key in the folder nothing is signed.
    `CommandFailed` says what is missing, or why no client takes what is there.
    """
    notes = _create_authority(folder, now)
    authorities = _read_certificates(folder / CA)
    chain = _read_certificates(folder / SERVER) if (folder / SERVER).exists() else []
    current = chain[0] if chain else None
    if current and _read_key(folder / SERVER_KEY).public_key() != current.public_key():
        raise CommandFailed(
            f"{folder / SERVER_KEY} is not the key of {folder / SERVER}: put the right one there"
        )
    if not (folder / CA_KEY).exists():
        return [*notes, *_problems_of_others(folder, chain, authorities, {*hosts}, now)]
    authority = _authority_that_signs(folder, authorities)
    notes += _problems_of_authority(folder, authority, now)
    names = {*OWN_HOST, *hosts, *_names(current)}
    if reason := _reason_to_sign(current, authority, names, now):
        if create_file(folder / SERVER_KEY, _new_key()):
            notes.append(f"created {folder / SERVER_KEY}")
        signed = _signed_for(names, folder, authority, now)
        replace_file(folder / SERVER, _pem(signed))
        notes.append(f"{reason} {folder / SERVER}, until {_date(signed)}, for {', '.join(sorted(names))}")
    return notes


def _create_authority(folder: Path, now: datetime.datetime) -> list[str]:
    """Create the authority unless there is one."""
    if (folder / CA).exists():
        return []
    if (folder / SERVER).exists():
        raise CommandFailed(f"{folder / SERVER} has no authority: put its certificate into {folder / CA}")
    create_file(folder / CA_KEY, _new_key())
    key = _read_signing_key(folder / CA_KEY)
    end = now + datetime.timedelta(days=AUTHORITY_DAYS)
    certificate = (
        _builder("Sluiceway brokers", key.public_key(), key.public_key(), now, end)
        .issuer_name(_name("Sluiceway brokers"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    if not create_file(folder / CA, _pem(certificate)):
        return []
    return [f"created the authority {folder / CA}, until {_date(certificate)}; keep {folder / CA_KEY} secret"]


def _signed_for(
    names: Iterable[str], folder: Path, authority: x509.Certificate, now: datetime.datetime
) -> x509.Certificate:
    signer, key = _read_signing_key(folder / CA_KEY), _read_signing_key(folder / SERVER_KEY)
    end = min(now + datetime.timedelta(days=SERVER_DAYS), authority.not_valid_after_utc)
    return (
        _builder("Sluiceway broker", key.public_key(), signer.public_key(), now, end)
        .issuer_name(authority.subject)
        .add_extension(x509.SubjectAlternativeName([*map(_general_name, sorted(names))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        # Brokers of a cluster show it to each other as clients, too.
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )


def _builder(
    name: str, key: SigningPublicKey, signer: SigningPublicKey, now: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=_name(name), public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=CLOCKS_DIFFER_DAYS))
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_that_signs(folder: Path, authorities: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the authority whose key is in the folder: of several that share it, the one that ends last."""
    key = _read_signing_key(folder / CA_KEY).public_key()
    if own := [authority for authority in authorities if authority.public_key() == key]:
        return max(own, key=lambda authority: authority.not_valid_after_utc)
    raise CommandFailed(f"{folder / CA_KEY} is not the key of {folder / CA}: put the right one there")


def _problems_of_authority(folder: Path, authority: x509.Certificate, now: datetime.datetime) -> list[str]:
    """Return a warning if an authority soon ends; `CommandFailed` if no client takes what it has signed."""
    another = (
        f"put another one and its key there, or delete {CA}, {CA_KEY} and {SERVER} and run this again with "
        "each --host; then give it to everybody who connects"
    )
    if not _is_authority(authority):
        raise CommandFailed(f"{folder / CA} may not sign certificates: it is not of an authority; {another}")
    if now < authority.not_valid_before_utc:
        start = authority.not_valid_before_utc.date().isoformat()
        raise CommandFailed(
            f"{folder / CA} is not valid before {start}: correct the clock of this host, or {another}"
        )
    if now > authority.not_valid_after_utc:
        raise CommandFailed(f"{folder / CA} has ended on {_date(authority)}: {another}")
    if _days_left(authority, now) < AUTHORITY_WARNING_DAYS:
        return [f"{folder / CA} ends on {_date(authority)}: everybody who connects needs another one"]
    return []


def _is_authority(certificate: x509.Certificate) -> bool:
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid  # then it may be used for everything


def _reason_to_sign(
    current: x509.Certificate | None, authority: x509.Certificate, names: set[str], now: datetime.datetime
) -> str:
    """Return what is done to the certificate of the broker; empty: nothing."""
    if current is None:
        return "created"
    if not _has_issued(authority, current):
        return "signed again, for another authority,"
    if names - _names(current):
        return "added names to"
    can_end_later = current.not_valid_after_utc < authority.not_valid_after_utc
    soon_ends = can_end_later and _days_left(current, now) < RENEWED_BEFORE_DAYS
    return "renewed" if soon_ends or now < current.not_valid_before_utc else ""


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _problems_of_others(
    folder: Path,
    chain: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    hosts: set[str],
    now: datetime.datetime,
) -> list[str]:
    """Return what is to do about a certificate that is signed elsewhere; `CommandFailed` if there is none."""
    server, unsigned = folder / SERVER, f"it cannot be signed again without {folder / CA_KEY}"
    if not chain:
        raise CommandFailed(
            f"there is no {server}, and none can be signed without {folder / CA_KEY}: put one there that "
            f"{CA} has signed, with its {SERVER_KEY}"
        )
    current, authority, notes = chain[0], _authority_of(chain, authorities), []
    if authority is None:
        notes.append(f"{server} is signed by no certificate in {CA}, so clients refuse it; {unsigned}")
    elif authority != current:
        notes += _problems_of_authority(folder, authority, now)
    if missing := hosts - _names(current):
        notes.append(f"{server} does not name {', '.join(sorted(missing))}; {unsigned}")
    if now < current.not_valid_before_utc:
        notes.append(f"{server} is not valid before {current.not_valid_before_utc.date()}; {unsigned}")
    if _days_left(current, now) < RENEWED_BEFORE_DAYS:
        notes.append(f"{server} ends on {_date(current)}; {unsigned}")
    return notes


def _authority_of(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """Return the authority to which a chain leads, whose first certificate is the broker's."""
    for number, certificate in enumerate(chain):
        if found := [authority for authority in authorities if _has_issued(authority, certificate)]:
            return max(found, key=lambda authority: authority.not_valid_after_utc)
        if not any(_has_issued(issuer, certificate) for issuer in chain[number + 1 : number + 2]):
            return None
    return None


def _names(certificate: x509.Certificate | None) -> set[str]:
    """Return the hosts that a certificate is for."""
    if certificate is None:
        return set()
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = found.get_values_for_type(x509.IPAddress)
    return {*found.get_values_for_type(x509.DNSName), *map(str, addresses)}


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_signing_key(file: Path) -> SigningKey:
    key = _read_key(file)
    if not isinstance(key, SigningKey):
        raise CommandFailed(f"{file} has a key of another kind: use one of an elliptic curve or RSA")
    return key


def _read_key(file: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(read_file(file), None)
    except (ValueError, TypeError) as error:
        raise CommandFailed(f"{file} has no key in PEM and without a password: {error}") from None


def _read_certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_file(file))
    except ValueError as error:
        raise CommandFailed(f"{file} has no certificate in PEM: {error}") from None


def _days_left(certificate: x509.Certificate, now: datetime.datetime) -> float:
    return (certificate.not_valid_after_utc - now) / datetime.timedelta(days=1)


def _date(certificate: x509.Certificate) -> str:
    return certificate.not_valid_after_utc.date().isoformat()


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
