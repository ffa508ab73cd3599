"""What a configuration of nats-server says besides accounts: listeners, TLS, storage and bounds."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..contracts import subjects
from .broker_accounts import account_of
from .broker_hosts import LEAF_PORT, url_host

CLIENT_PORT = 4222
ROUTE_PORT = 6222
#: On loopback: health checks, and `/varz`, `/jsz` and others for monitoring.
MONITORING_PORT = 8222


@dataclass(frozen=True)
class BrokerForm:
    """Where a broker runs."""

    #: TLS at every listener. Without it there is none outside the host.
    is_encrypted: bool = False
    #: The hosts of a cluster, this broker's included; empty: it runs alone.
    cluster: tuple[str, ...] = ()
    #: The region whose leaf node it is, and the URLs of the brokers that it connects to.
    leaf_of: str | None = None
    hubs: tuple[str, ...] = ()
    #: Users sign in by passwords, and not by nkeys.
    has_passwords: bool = False


ONE_COMPUTER = BrokerForm()

LOOPBACK = f"""
host: 127.0.0.1
port: {CLIENT_PORT}
http: "127.0.0.1:{MONITORING_PORT}"

jetstream {{store_dir: $STORE_DIR}}
"""

VARIABLES = """\
# MAX_FILE_STORE is what they may take of the disk (100GB): less than the disk has, for a full disk stops all
# writing until nats-server is started again. LISTEN_HOST is the address that others reach (0.0.0.0 for all).
# TLS_CERT and TLS_KEY are the files server.pem and server-key.pem in the folder of `--secrets`.
"""

CLUSTER_VARIABLES = """\
# TLS_CA is ca.pem there: each broker whose certificate it has signed may join the cluster, so let it sign
# those of brokers only. SERVER_NAME is another one on each host (nats-1), and the rest of this file the same.
"""

LEAF_VARIABLES = """\
# HUB_CA is the file ca.pem of the hub, and HUB_SEED what is in its file {user}.nk: a secret.
"""

LISTENERS = f"""
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
"""

STORAGE = """
jetstream {{
  # {why_domain}
  domain: {domain}
  store_dir: $STORE_DIR
  max_file_store: $MAX_FILE_STORE
  # No stream of ours is kept in memory: what others create there cannot take what the brokers need.
  max_memory_store: 64MB
{sync}}}
"""

SYNC = """\
  # A message is on the disk before it is answered. Otherwise a power failure loses what was answered in the
  # last two minutes, on a cluster too if it is one of all brokers.
  sync_interval: always
"""

BOUNDS = """
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
"""

LEAF_LISTENER = f"""
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

LEAF_NODE = """
# It connects to the hub, and nobody to it: the hub needs no way into this network.
leafnodes {{
  # After the link was down, it tries again this often.
  reconnect: 1s
  remotes: [
    {{
      urls: [{hubs}]
      account: {account}
      nkey: $HUB_SEED
      tls {{ca_file: $HUB_CA, timeout: 5}}
    }}
  ]
}}
"""


def server_block(form: BrokerForm) -> str:
    """Return what stands before the accounts."""
    if not form.is_encrypted:
        return LOOPBACK
    if form.leaf_of:
        return _leaf_node(form.leaf_of, form.hubs)
    hub = STORAGE.format(
        why_domain="Leaf nodes have domains of their own, and reach the streams here by this name.",
        domain=subjects.HUB_DOMAIN,
        sync=SYNC,
    )
    alone = f"{LISTENERS}{hub}{BOUNDS}{LEAF_LISTENER}"
    if not form.cluster:
        return f"{VARIABLES}\nserver_name: sluiceway{alone}"
    routes = _quoted([f"tls://{url_host(host)}:{ROUTE_PORT}" for host in form.cluster])
    cluster = CLUSTER.format(port=ROUTE_PORT, routes=routes)
    return f"{VARIABLES}{CLUSTER_VARIABLES}\nserver_name: $SERVER_NAME{alone}{cluster}"


def _leaf_node(region: str, hubs: Sequence[str]) -> str:
    domain = subjects.leaf_domain(region)
    storage = STORAGE.format(
        why_domain="The streams here are copies, which the hub fills again if they are lost.",
        domain=domain,
        sync="",
    )
    link = LEAF_NODE.format(hubs=_quoted(hubs), account=account_of(region))
    variables = f"{VARIABLES}{LEAF_VARIABLES.format(user=domain)}"
    return f"{variables}\nserver_name: {domain}{LISTENERS}{storage}{BOUNDS}{link}"


def _quoted(urls: Sequence[str]) -> str:
    return ", ".join(f'"{url}"' for url in urls)
