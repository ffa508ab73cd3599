"""The configuration file of nats-server in each of its forms: a laptop, one host, a cluster.

The same people, sources, regions and hosts give the same text, so that it can be kept in a repository: what
differs from host to host, and every secret, is a variable in the environment of nats-server.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .broker_accounts import BrokerAccount, BrokerUser, Export
from .broker_hosts import url_host

CLIENT_PORT = 4222
ROUTE_PORT = 6222
LEAF_PORT = 7422
#: On loopback: health checks, and `/varz`, `/jsz` and others for monitoring.
MONITORING_PORT = 8222

#: Returns how a user signs in, for example `user: monitor, password: $MONITOR_PASSWORD`.
SignIn = Callable[[str], str]


@dataclass(frozen=True)
class BrokerForm:
    """Where a broker runs."""

    #: TLS at every listener. Without it there is none outside the host.
    is_encrypted: bool = False
    #: The hosts of a cluster, this broker's included; empty: it runs alone.
    cluster: tuple[str, ...] = ()


ONE_COMPUTER = BrokerForm()

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

ENCRYPTED_HEADER = """\
# MAX_FILE_STORE is what they may take of the disk (100GB): less than the disk has, for a full disk stops all
# writing until nats-server is started again. LISTEN_HOST is the address that others reach (0.0.0.0 for all).
# TLS_CERT and TLS_KEY are the files server.pem and server-key.pem in the folder of `--secrets`.
"""

CLUSTER_HEADER = """\
# TLS_CA is ca.pem there: each broker whose certificate it has signed may join the cluster, so let it sign
# those of brokers only. SERVER_NAME is another one on each host (nats-1), and the rest of this file the same.
"""

LOOPBACK = f"""
host: 127.0.0.1
port: {CLIENT_PORT}
http: "127.0.0.1:{MONITORING_PORT}"

jetstream {{store_dir: $STORE_DIR}}
"""

ENCRYPTED = f"""
host: $LISTEN_HOST
port: {CLIENT_PORT}
# For health checks and monitoring. It asks nobody who they are, so only this host reaches it.
http: "127.0.0.1:{MONITORING_PORT}"

# Nobody connects without TLS. The files are read again at `nats-server --signal reload`.
tls {{
  cert_file: $TLS_CERT
  key_file: $TLS_KEY
  # Seconds for a handshake: a busy host needs more than the 2 that are usual.
  timeout: 5
}}

jetstream {{
  # Leaf nodes have domains of their own, and reach the streams here by this name.
  domain: hub
  store_dir: $STORE_DIR
  max_file_store: $MAX_FILE_STORE
  # No stream of ours is kept in memory: what others create there cannot take what the brokers need.
  max_memory_store: 64MB
  # A message is on the disk before it is answered. Otherwise a power failure loses what was answered in the
  # last two minutes, on a cluster too if it is one of all brokers.
  sync_interval: always
}}

# Larger messages close their sender's connection. Services measure before they send, and a feature may take
# 39 % of this: a smaller value refuses features that are larger, a larger one lets them grow.
max_payload: 1MB
# Each takes a file descriptor (`ulimit -n`) and memory. Accounts that are not ours have limits of their own.
max_connections: 10000
# Of one connection, since each takes memory; a service has less than a hundred.
max_subscriptions: 10000
# What waits for one client that reads too slowly, and for how long a write to it may take. It is then cut
# off, connects again and reads what it has missed, so that it cannot take the memory of all.
max_pending: 64MB
write_deadline: 10s
# A client that does not answer two pings is gone: after six seconds, not after six minutes. Until then the
# broker passes commands on to a scheduler whose host was cut off without a word.
ping_interval: 2s
ping_max: 2
# Before it ends (`nats-server --signal ldm`), it sends clients away one by one for so long, so that they do
# not all come back to the next broker in the same second. Supervisors must wait a minute before they kill.
lame_duck_grace_period: 5s
lame_duck_duration: 30s

# Brokers of other networks, each for one region, as the user leaf-<region> of the region's account.
leafnodes {{
  host: $LISTEN_HOST
  port: {LEAF_PORT}
  tls {{cert_file: $TLS_CERT, key_file: $TLS_KEY, timeout: 5}}
  # Addresses of this host, which are in no certificate, are told to nobody.
  no_advertise: true
}}
"""

CLUSTER = """
# The brokers of this cluster talk to each other over TLS, and prove by their certificates that they may.
cluster {{
  name: sluiceway
  host: $LISTEN_HOST
  port: {port}
  tls {{cert_file: $TLS_CERT, key_file: $TLS_KEY, ca_file: $TLS_CA, verify: true, timeout: 5}}
  routes: [{routes}]
  # Clients know the brokers by SLUICEWAY_NATS_URL. Addresses of this host, which are in no certificate, are
  # told to nobody.
  no_advertise: true
  # So is a broker, after three seconds.
  ping_interval: 1s
  ping_max: 2
}}
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
    headers = [
        ACCOUNTS_HEADER,
        *([ENCRYPTED_HEADER] if form.is_encrypted else []),
        *([CLUSTER_HEADER] if form.cluster else []),
    ]
    return f"{''.join(headers)}{_server(form)}\naccounts {{\n" + "".join(blocks) + "}\n"


def laptop_config() -> str:
    """Return the configuration file of a broker that lets everybody on this computer do everything."""
    return f"{LAPTOP_HEADER}{LOOPBACK}"


def _server(form: BrokerForm) -> str:
    if not form.is_encrypted:
        return LOOPBACK
    if not form.cluster:
        return f"\nserver_name: sluiceway{ENCRYPTED}"
    routes = ", ".join(f'"tls://{url_host(host)}:{ROUTE_PORT}"' for host in form.cluster)
    return f"\nserver_name: $SERVER_NAME{ENCRYPTED}{CLUSTER.format(port=ROUTE_PORT, routes=routes)}"


def _account_block(account: BrokerAccount, imports: Sequence[tuple[str, Export]], sign_in: SignIn) -> str:
    lines = [f"  {account.name} {{"]
    if account.jetstream:
        lines.append(f"    {account.jetstream}")
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
    lines = ["      {", f"        {sign_in(user.name)}", "        permissions {", "          publish: ["]
    lines += [f'            "{subject}"' for subject in user.publish]
    subscribe = ", ".join(f'"{subject}"' for subject in user.subscribe)
    lines += ["          ]", f"          subscribe: [{subscribe}]"]
    if user.answers:
        lines.append('          allow_responses: {max: 1, expires: "1m"}')
    kinds = '"LEAFNODE"' if user.is_leaf else '"STANDARD", "WEBSOCKET"'
    return [*lines, "        }", f"        allowed_connection_types: [{kinds}]", "      }"]
