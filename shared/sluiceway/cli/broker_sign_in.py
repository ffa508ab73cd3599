"""How the users of a broker sign in. No secret is in the configuration."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import nkeys

from ..messaging.credentials import check_seed
from .broker_accounts import BrokerAccount
from .broker_file import SignIn
from .session import CommandFailed
from .whole_files import create_file, create_folder


def password_variable(user: str) -> str:
    """Return the environment variable of nats-server that has the password of a user."""
    return _variable(user, "PASSWORD")


def nkey_variable(user: str) -> str:
    """Return the environment variable of nats-server that has the public key of a user."""
    return _variable(user, "NKEY")


def sign_in_by_passwords(accounts: Sequence[BrokerAccount]) -> SignIn:
    """Return what lets users sign in by passwords; `CommandFailed` if two would share a variable."""
    _check_names(accounts, password_variable, "get the same variable; use --secrets")
    return lambda user: f'user: "{user}", password: ${password_variable(user)}'


def sign_in_by_variables(accounts: Sequence[BrokerAccount]) -> SignIn:
    """Return what lets users sign in by nkeys that are variables; `CommandFailed` if two would share one."""
    _check_names(accounts, nkey_variable, "get the same variable; use --secrets")
    return lambda user: f"nkey: ${nkey_variable(user)}"


def sign_in_by_seeds(folder: Path, accounts: Sequence[BrokerAccount], note: Callable[[str], None]) -> SignIn:
    """Return what lets users sign in by nkeys, with a seed for each in the folder; note which are created."""
    _check_names(accounts, str.lower, "get the same file")
    create_folder(folder)
    users = [user.name for account in accounts for user in account.users]
    for file in (_seed_file(folder, user) for user in users):
        if file.exists():
            check_seed(file)
    if created := [user for user in users if create_file(_seed_file(folder, user), _new_seed())]:
        note(f"created the seeds of {', '.join(created)} in {folder}")
    keys = {user: public_key(_seed_file(folder, user)) for user in users}
    return lambda user: f"nkey: {keys[user]}"


def _variable(user: str, what: str) -> str:
    name = user.upper().replace("-", "_")
    return f"KEY_{name}_{what}" if name[0].isdigit() else f"{name}_{what}"


def _check_names(accounts: Sequence[BrokerAccount], shown: Callable[[str], str], problem: str) -> None:
    users = [user.name for account in accounts for user in account.users]
    counts = Counter(map(shown, users))
    if doubled := [user for user in users if counts[shown(user)] > 1]:
        raise CommandFailed(f"{' and '.join(doubled)} {problem}")


def _seed_file(folder: Path, user: str) -> Path:
    return folder / f"{user}.nk"


def _new_seed() -> bytes:
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed


def public_key(file: Path) -> str:
    """Return the public key of the seed in a file; `Misconfigured` if there is none."""
    check_seed(file)
    public: bytes = nkeys.from_seed(bytearray(file.read_bytes().strip())).public_key
    return public.decode()
