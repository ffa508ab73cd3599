"""`sluiceway broker-config`: the accounts of a broker for the regions of a catalogue."""

import contextlib
import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import nkeys
import typer

from ..contracts.catalogue import Region
from ..messaging.credentials import check_seed
from ..messaging.rules_streams import STREAMS_MAX, RulesStreams, read_rules_streams
from .broker_accounts import BrokerAccount, SignIn, broker_accounts, broker_config
from .current_state import read_catalogue
from .document_files import read_documents
from .session import CliSession, CommandFailed, validated_name

#: Readable by its owner only.
PRIVATE = 0o600

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
NkeysOption = Annotated[
    str | None,
    typer.Option(
        "--nkeys",
        help="A folder for the seed of each user (SLUICEWAY_NATS_NKEY), created if missing; the "
        "configuration has public keys. Without it, passwords come from the environment of nats-server.",
    ),
]


async def write_broker_config(
    session: CliSession,
    file: FilesOption = None,
    region: RegionsOption = None,
    key: PeopleOption = None,
    alert_source: SourcesOption = None,
    rules_streams: RulesStreamsOption = None,
    nkeys_folder: NkeysOption = None,
) -> None:
    """Print a configuration for nats-server in which nobody does what is not theirs."""
    regions = {validated_name("region", name) for name in region or ()}
    if file:
        regions |= {found.name for found in read_documents(file) if isinstance(found, Region)}
    if not (file or region):
        async with session.open_connection():
            regions = set((await read_catalogue(session.connection)).regions)
            rules_streams = rules_streams or (await read_rules_streams(session.connection.replies)).groups
    people = {validated_name("key", id_) for id_ in key or ()}
    sources = {validated_name("source", name) for name in alert_source or ()}
    rules = RulesStreams(rules_streams or 1)
    accounts = broker_accounts(sorted(regions), sorted(people), sorted(sources), rules)
    sign_in = (
        sign_in_by_nkeys(Path(nkeys_folder), accounts) if nkeys_folder else sign_in_by_passwords(accounts)
    )
    text = broker_config(accounts, sign_in)
    session.print_result({"config": text}, text.rstrip("\n"))


def password_variable(user: str) -> str:
    """Return the environment variable of nats-server that has the password of a user."""
    name = user.upper().replace("-", "_")
    return f"KEY_{name}_PASSWORD" if name[0].isdigit() else f"{name}_PASSWORD"


def sign_in_by_passwords(accounts: list[BrokerAccount]) -> SignIn:
    """Return what lets users sign in by passwords; `CommandFailed` if two would share a variable."""
    _check_names(accounts, password_variable, "get the same variable; use --nkeys")
    return lambda user: f'user: "{user}", password: ${password_variable(user)}'


def sign_in_by_nkeys(folder: Path, accounts: list[BrokerAccount]) -> SignIn:
    """Return what lets users sign in by nkeys, with a seed for each in the folder."""
    _check_names(accounts, str.lower, "get the same file")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return lambda user: f"nkey: {_public_key(folder / f'{user}.nk')}"


def _check_names(accounts: list[BrokerAccount], shown: "SignIn", problem: str) -> None:
    users = [user.name for account in accounts for user in account.users]
    counts = Counter(map(shown, users))
    if doubled := [user for user in users if counts[shown(user)] > 1]:
        raise CommandFailed(f"{' and '.join(doubled)} {problem}")


def _public_key(file: Path) -> str:
    """Return the public key of the seed in a file, which is created if it is missing."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as created:
            created.write(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    check_seed(file)
    public: bytes = nkeys.from_seed(bytearray(file.read_bytes().strip())).public_key
    return public.decode()
