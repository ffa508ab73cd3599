"""`sluiceway broker-config`: the configuration of a broker, with accounts for the regions of a catalogue."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..contracts.catalogue import Region
from ..messaging.rules_streams import STREAMS_MAX, RulesStreams, read_rules_streams
from .broker_accounts import BrokerAccount, broker_accounts, leaf_accounts
from .broker_file import SignIn, broker_config, laptop_config
from .broker_hosts import certificate_hosts, checked_hosts, hub_urls
from .broker_server import BrokerForm
from .broker_sign_in import sign_in_by_passwords, sign_in_by_seeds, sign_in_by_variables
from .current_state import read_catalogue
from .document_files import read_documents
from .session import CliSession, CommandFailed, validated_name
from .whole_files import PUBLIC_FILE, is_special, replace_file

FilesOption = Annotated[
    list[str] | None,
    typer.Option("--file", "-f", help="Files or folders of documents whose regions get accounts."),
]
RegionsOption = Annotated[
    list[str] | None, typer.Option("--region", help="A region. Without files and regions: the running ones.")
]
PeopleOption = Annotated[
    list[str] | None, typer.Option("--key", help="The id of the key of a person or machine. Can be repeated.")
]
OperatorsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--operator",
        help="The id of the key of an operator, whose command line also reads everything. It is trusted as a "
        "service is: its user can make the broker write anywhere. Can be repeated.",
    ),
]
SourcesOption = Annotated[
    list[str] | None, typer.Option("--alert-source", help="Who may send alerts. Can be repeated.")
]
RulesStreamsOption = Annotated[
    int | None,
    typer.Option(
        "--rules-streams",
        min=1,
        max=STREAMS_MAX,
        help="How many streams hold the rules: SLUICEWAY_RULES_STREAMS of the scheduler. By default 1, "
        "or with the running regions as many as they have.",
    ),
]
TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls", help="For a broker that other hosts reach: TLS at every listener, and users with nkeys."
    ),
]
SecretsOption = Annotated[
    str | None,
    typer.Option(
        "--secrets",
        help="A folder for the seed of each user (<user>.nk, for SLUICEWAY_NATS_NKEY) and with --tls the "
        "certificates (ca.pem, server.pem). What is missing is created, a certificate that soon ends is "
        "renewed, and the rest is taken as it is. Without it, public keys are variables.",
    ),
]
HostsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--host", help="A name or address of the broker for its certificate, or *.DOMAIN. Can be repeated."
    ),
]
ClusterOption = Annotated[
    list[str] | None,
    typer.Option("--cluster", help="A broker of a cluster, by its host. Repeat it for each of the three."),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="The file to write, whole or not at all. If this command fails, > leaves an empty file, with "
        "which nats-server lets anybody connect.",
    ),
]
LeafOption = Annotated[
    str | None,
    typer.Option("--leaf", help="Of the leaf node of this region, a broker near its edges. Needs --hub."),
]
HubsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--hub", help="A broker that it connects to: tls://HOST or tls://HOST:PORT. Can be repeated."
    ),
]
PasswordsOption = Annotated[
    bool,
    typer.Option(
        "--passwords",
        help="Passwords instead of nkeys, from the environment of nats-server: of letters, digits, - and _, "
        "at least 16, with a letter first. Nkeys are recommended.",
    ),
]


async def write_broker_config(
    session: CliSession,
    file: FilesOption = None,
    region: RegionsOption = None,
    key: PeopleOption = None,
    operator: OperatorsOption = None,
    alert_source: SourcesOption = None,
    rules_streams: RulesStreamsOption = None,
    tls: TlsOption = False,
    secrets: SecretsOption = None,
    host: HostsOption = None,
    cluster: ClusterOption = None,
    leaf: LeafOption = None,
    hub: HubsOption = None,
    passwords: PasswordsOption = False,
    output: OutputOption = None,
) -> None:
    """Print a configuration for nats-server: of one computer, or with --tls of a broker for production.

    With --tls, --secrets or --passwords nobody does what is not theirs, and each region has an account of its
    own. Without any of them everybody on this computer may do everything.
    """
    has_users = tls or passwords or secrets is not None
    users = key or operator or alert_source
    _check_options(
        *(
            ("" in values, f"{option} is empty: is a variable not set?")
            for option, values in (
                ("--secrets", [secrets]),
                ("--output", [output]),
                ("--leaf", [leaf]),
                ("--file", file or ()),
            )
        ),
        (
            output and is_special(Path(output)),
            f"--output {output} is not a file: leave it out to print the configuration",
        ),
        (
            users and not has_users,
            "--key, --operator and --alert-source need --tls, --secrets or --passwords",
        ),
        (secrets is not None and passwords, "--secrets and --passwords are two ways to sign in: use one"),
        ((cluster or leaf) and not tls, "--cluster and --leaf need --tls"),
        (bool(leaf) != bool(hub), "--leaf and --hub need each other"),
        (
            leaf and (users or file or region or cluster or rules_streams),
            "--leaf is for the edges of one region: only --hub, --host and how they sign in go with it",
        ),
        (
            host and not (tls and secrets is not None),
            "--host is for the certificate that --tls and --secrets create",
        ),
    )
    if not has_users:
        _write(session, output, laptop_config())
        return
    form = BrokerForm(tls, checked_hosts(cluster or ()), leaf, hub_urls(hub or ()), passwords)
    hosts = (*form.cluster, *certificate_hosts(host or ()))
    if leaf:
        accounts = leaf_accounts(validated_name("region", leaf))
    else:
        accounts = await _accounts(session, file, region, key, operator, alert_source, rules_streams)
    sign_in = _sign_in(session, accounts, secrets, passwords)
    if tls and secrets is not None:
        _keep_certificates(session, Path(secrets), hosts)
    _write(session, output, broker_config(accounts, sign_in, form))


async def _accounts(
    session: CliSession,
    files: FilesOption,
    names: RegionsOption,
    keys: PeopleOption,
    operator_keys: OperatorsOption,
    alert_sources: SourcesOption,
    rules_streams: RulesStreamsOption,
) -> list[BrokerAccount]:
    """Return the accounts for these regions, or for the running ones if there are none."""
    regions = {validated_name("region", name) for name in names or ()}
    if files:
        regions |= {found.name for found in read_documents(files) if isinstance(found, Region)}
    people = {validated_name("key", id_) for id_ in keys or ()}
    sources = {validated_name("source", name) for name in alert_sources or ()}
    if not (files or names):
        async with session.open_connection():
            regions = set((await read_catalogue(session.connection)).regions)
            rules_streams = rules_streams or (await read_rules_streams(session.connection.replies)).groups
    operators = {validated_name("operator", id_) for id_ in operator_keys or ()}
    rules = RulesStreams(rules_streams or 1)
    return broker_accounts(sorted(regions), sorted(people), sorted(sources), rules, sorted(operators))


def _check_options(*checks: tuple[object, str]) -> None:
    """Raise `CommandFailed` with the text of the first that holds."""
    for is_wrong, text in checks:
        if is_wrong:
            raise CommandFailed(text)


def _write(session: CliSession, output: str | None, text: str) -> None:
    if output is not None:
        replace_file(Path(output), text.encode(), mode=PUBLIC_FILE)
        return
    session.print_result({"config": text}, text.rstrip("\n"))


def _sign_in(
    session: CliSession, accounts: list[BrokerAccount], secrets: str | None, passwords: bool
) -> SignIn:
    if passwords:
        return sign_in_by_passwords(accounts)
    if secrets is not None:
        return sign_in_by_seeds(Path(secrets), accounts, session.warn)
    return sign_in_by_variables(accounts)


def _keep_certificates(session: CliSession, folder: Path, hosts: Sequence[str]) -> None:
    """Create or renew the certificates in a folder, and print what was done on standard error."""
    try:
        from .broker_certificates import keep_certificates
    except ImportError:
        raise CommandFailed(
            "certificates need the package cryptography: pip install 'sluiceway[certificates]'"
        ) from None
    for note in keep_certificates(folder, hosts, datetime.now(UTC)):
        session.warn(note)
