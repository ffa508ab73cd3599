"""The configuration file of nats-server in each of its forms: a laptop, one host, a cluster, a leaf node.

The same people, sources, regions and hosts give the same text, so that it can be kept in a repository: what
differs from host to host, and every secret, is a variable in the environment of nats-server.
"""

from collections.abc import Callable, Sequence

from .broker_accounts import BrokerAccount, BrokerUser, Export
from .broker_server import LOOPBACK, ONE_COMPUTER, BrokerForm, server_block

#: Returns how a user signs in, for example `user: monitor, password: $MONITOR_PASSWORD`.
SignIn = Callable[[str], str]


LAPTOP_HEADER = """\
# A broker for one computer, as `sluiceway broker-config` writes it. Do not edit it: write it again.
#
# Everybody on this computer may read, write and delete everything, and nobody else can connect. Never give it
# another address: `sluiceway broker-config --tls` writes what other computers may reach.
#
# In the environment of nats-server: STORE_DIR, the folder of the streams.
"""

ACCOUNTS_HEADER = """\
# A broker and its accounts, as `sluiceway broker-config` writes them. Do not edit it: write it again.
#
# A user that may send requests to JetStream can direct the reply, or what a consumer delivers, to any
# subject of its account, even to the subjects of a stream: the broker itself publishes there, so
# permissions do not apply. That is why everybody who is not trusted has an account apart from the streams.
# Only the subjects that it imports reach SLUICEWAY.
#
# SLUICEWAY has the streams and the services, all of which are trusted. PEOPLE and ALERTING have no streams.
# The account of a region has copies of its own rules and keys, which the broker fills, and nothing of other
# regions.
#
# Each sender of commands publishes to a subject that ends with its own name
# (sluiceway.commands.<verb>.<user>), and the scheduler trusts that name. Only `console` may vouch for
# others. `monitor` may roll releases back and pause them. Any other name is the id of a key (sluiceway key
# create --owner ada --role approver …), and the grants of the key apply. No user may publish to
# sluiceway.commands.<verb> itself. Only the scheduler writes FEATURES and CATALOG, and only the publisher
# writes RULES. Run the scheduler with SLUICEWAY_REQUIRE_IDENTITY=true, so that it too refuses commands from
# unauthenticated senders, and with SLUICEWAY_REGION_ACCOUNTS=true, so that it fills the accounts of
# regions.
#
# In the environment of nats-server: a variable for each `$…`. STORE_DIR is the folder of the streams.
"""

LEAF_HEADER = """\
# The leaf node of the region {region}: a broker near its edges, as `sluiceway broker-config` writes it.
# Do not edit it: write it again.
#
# It holds copies of the rules and keys of the region, and nothing of others. The scheduler creates and
# repairs them through the account of the region (SLUICEWAY_REGION_ACCOUNTS=true). Edges connect here as they
# do at the hub, and go on while the link is down.
#
# In the environment of nats-server: a variable for each `$…`. STORE_DIR is the folder of the streams.
"""


PASSWORDS = """\
# Passwords are variables, too. nats-server takes an empty one for valid, and reads others as if they stood in
# this file: it does not start if one is a number (0123), and takes the variable HOME if one is $HOME. So give
# each user one of letters, digits, - and _ only (at least 16, with a letter first). Nkeys (`--secrets`)
# cannot go wrong like that.
"""


def broker_config(accounts: Sequence[BrokerAccount], sign_in: SignIn, form: BrokerForm = ONE_COMPUTER) -> str:
    """Return the configuration file of a broker with these accounts."""
    exports = [(account.name, export) for account in accounts for export in account.exports]
    blocks = [
        _account_block(
            account,
            [(owner, export) for owner, export in exports if export.importer == account.name],
            sign_in,
        )
        for account in accounts
    ]
    header = LEAF_HEADER.format(region=form.leaf_of) if form.leaf_of else ACCOUNTS_HEADER
    passwords = PASSWORDS if form.has_passwords else ""
    return f"{header}{passwords}{server_block(form)}\naccounts {{\n" + "".join(blocks) + "}\n"


def laptop_config() -> str:
    """Return the configuration file of a broker that lets everybody on this computer do everything."""
    return f"{LAPTOP_HEADER}{LOOPBACK}"


def _account_block(account: BrokerAccount, imports: Sequence[tuple[str, Export]], sign_in: SignIn) -> str:
    lines = [f"  {account.name} {{"]
    if account.jetstream:
        lines.append(f"    {account.jetstream}")
    if account.mappings:
        lines.append("    mappings {")
        lines += [f'      "{subject}": "{mapped}"' for subject, mapped in account.mappings.items()]
        lines.append("    }")
    if account.limits:
        lines.append(f"    limits {{{account.limits}}}")
    offered = dict.fromkeys((export.kind, export.subject) for export in account.exports)
    if offered:
        lines.append("    exports: [")
        for kind, subject in offered:
            importers = [e.importer for e in account.exports if (e.kind, e.subject) == (kind, subject)]
            lines.append(f'      {{{kind}: "{subject}", accounts: [{", ".join(importers)}]}}')
        lines.append("    ]")
    if imports:
        lines += [
            "    imports: [",
            *(f"      {_import(owner, export)}" for owner, export in imports),
            "    ]",
        ]
    lines += [
        "    users: [",
        *(line for user in account.users for line in _user_lines(user, sign_in)),
        "    ]",
        "  }",
    ]
    return "\n".join([*lines, ""])


def _import(owner: str, export: Export) -> str:
    to = f', to: "{export.name}"' if export.name else ""
    return f'{{{export.kind}: {{account: {owner}, subject: "{export.subject}"}}{to}}}'


def _user_lines(user: BrokerUser, sign_in: SignIn) -> list[str]:
    subscribe = ", ".join(f'"{subject}"' for subject in user.subscribe)
    answers = ['          allow_responses: {max: 1, expires: "1m"}'] if user.answers else []
    kinds = '"LEAFNODE"' if user.is_leaf else '"STANDARD", "WEBSOCKET"'
    return [
        "      {",
        f"        {sign_in(user.name)}",
        "        permissions {",
        "          publish: {",
        *_subject_lines("allow", user.publish),
        *(_subject_lines("deny", user.denied) if user.denied else ()),
        "          }",
        f"          subscribe: [{subscribe}]",
        *answers,
        "        }",
        f"        allowed_connection_types: [{kinds}]",
        "      }",
    ]


def _subject_lines(name: str, listed: Sequence[str]) -> list[str]:
    return [f"            {name}: [", *(f'              "{subject}"' for subject in listed), "            ]"]
