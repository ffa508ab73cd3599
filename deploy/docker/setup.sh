#!/bin/sh
# The first step of docker-compose.yml, at each `docker compose up`: creates the secrets that are missing, renews
# the broker's certificate before it ends, and gives each container its own.
#
# /secrets has all of them, for root alone. Each folder in /services is a volume that one container reads; what is
# in it belongs to the user of that container. Root has one capability here, to give files away (CHOWN).
set -eu
umask 077
chmod 700 /secrets
# Two at the same time would give away different secrets.
exec 9>/secrets/.lock
flock 9

service_user=10001:10001
broker_user=10002:10002
nobody=65534:65534

create_secret() {
    if [ ! -s "/secrets/$1" ]; then
        python -c 'import secrets; print(secrets.token_urlsafe(32))' >"/secrets/$1.new"
        mv "/secrets/$1.new" "/secrets/$1"
    fi
}

# give USER FOLDER FILE [NAME]: a copy that nobody else reads, whole or not at all.
give() {
    new="/services/$2/.new"
    rm -f "$new"
    cp "/secrets/$3" "$new"
    chmod 600 "$new"
    chown "$1" "$new"
    mv -f "$new" "/services/$2/${4:-$3}"
}

# connect FOLDER USER: what a container needs to connect as this user of the broker.
connect() {
    give "$service_user" "$1" ca.pem
    give "$service_user" "$1" "$2.nk" nats.nk
}

set -- --tls --secrets /secrets --host nats --operator "$OPERATOR" --output /secrets/nats.conf
for folder in /services/edge-*; do
    set -- "$@" --region "${folder#/services/edge-}"
done
sluiceway broker-config "$@"
create_secret SLUICEWAY_SESSION_SECRET
create_secret SLUICEWAY_ALERTMANAGER_TOKEN

for file in nats.conf server.pem server-key.pem; do
    give "$broker_user" nats "$file"
done
chown "$broker_user" /streams
connect scheduler scheduler
connect evaluator-publisher evaluator_publisher
connect monitor monitor
give "$service_user" monitor SLUICEWAY_ALERTMANAGER_TOKEN
connect console console
give "$service_user" console SLUICEWAY_SESSION_SECRET
connect cli "$OPERATOR"
for folder in /services/edge-*; do
    connect "${folder#/services/}" "${folder#/services/}"
done
give "$nobody" alertmanager SLUICEWAY_ALERTMANAGER_TOKEN
echo "each container has its secrets"
