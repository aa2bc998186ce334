#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A Postgres cluster of this checkout's own: own data folder, own port on 127.0.0.1, own socket folder; nothing
# system-wide is touched. Postgres refuses to run as root, so root runs it as the user postgres. That user must be
# able to reach the data folder: where a folder above .weir/ is closed to it, the data lies in
# /var/tmp/weir-<hash of the path> and .weir/postgres is a link to it.
#
#   postgres.sh start | stop | kill | clean | status | home | psql [ARGUMENT…]
#
# WEIR_PG_PORT (15432), WEIR_STATE (.weir). Database weir and its owner weir_owner; the superuser
# is called weir, and nothing of Weir's connects as it. No passwords: development only.
set -euo pipefail
# shellcheck source=tests/services/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

link=$state/postgres
log=$logs/initdb.log
start_timeout_s=150
socket_path_max=100

if [ "$(id -u)" = 0 ]; then user=postgres; else user=$(id -un); fi

# as COMMAND…: run it as the user that owns the cluster
as() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups env HOME=/ "$@"
    else
        "$@"
    fi
}

binaries() {
    local newest
    newest=$(find /usr/lib/postgresql/*/bin -maxdepth 1 -name initdb 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] || die "Postgres is missing" "./dev install puts it there (package postgresql)"
    dirname "$newest"
}

# Where the cluster lies: .weir/postgres if its user can get there and a socket's path is not too long for the kernel.
make_home() {
    local away
    mkdir -p "$state" "$logs"
    [ ! -e "$link" ] || return 0
    if [ ${#link} -lt $socket_path_max ]; then
        rm -f "$link"
        mkdir "$link"
        [ "$(id -u)" != 0 ] || chown "$user:" "$link"
        if (cd / && as test -w "$link"); then return 0; fi
        rmdir "$link"
    fi
    away=/var/tmp/weir-$(printf %s "$link" | sha256sum | cut -c 1-12)
    rm -f "$link"
    mkdir -p "$away"
    [ "$(id -u)" != 0 ] || chown "$user:" "$away"
    (cd / && as test -w "$away") || die "user $user cannot write to $away" "choose another folder: export WEIR_STATE=…"
    ln -s "$away" "$link"
}

create() {
    [ ! -s "$home/data/PG_VERSION" ] || return 0
    # -N: an unfinished initdb is thrown away, so its fsyncs buy nothing
    as "$bin/initdb" -D "$home/data" -U weir -A trust -E UTF8 --locale=C.UTF-8 -N >>"$log" 2>&1 || {
        rm -rf "$home/data"
        died "Postgres (initdb)" "$log"
    }
    cat >>"$home/data/postgresql.conf" <<'C'

# what a development machine with two cores wants; the port and socket folder come with the start command
listen_addresses = '127.0.0.1'
shared_buffers = 512MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = lz4
jit = off
log_line_prefix = '%m [%p] %a '
C
}

# Not asked of pg_ctl, which takes a server that was killed for one that runs until somebody reaps it.
running() {
    local pid
    { read -r pid <"$home/data/postmaster.pid"; } 2>/dev/null && start_time "$pid" >/dev/null
}

psql_as() {
    local program=$1
    shift
    "$bin/$program" -h "$home/run" -p "$pg_port" -U weir "$@"
}

launch_server() {
    port_free "$pg_port" Postgres WEIR_PG_PORT
    as mkdir -p "$home/run"
    ln -sfn "$home/server.log" "$logs/postgres.log"
    create
    # postgres opens its log itself: it must not need to reach .weir/log
    if ! as "$bin/pg_ctl" -D "$home/data" -l "$home/server.log" -w -t "$start_timeout_s" -s \
        -o "-p $pg_port -k '$home/run'" start >>"$log" 2>&1 8>&- 9>&-; then
        died Postgres "$home/server.log"
    fi
}

start() {
    running || launch_server
    # CREATEDB for the tests alone
    psql_as psql -d postgres -Xqv ON_ERROR_STOP=1 <<'C'
SELECT 'CREATE ROLE weir_owner LOGIN CREATEROLE CREATEDB' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_owner')
\gexec
SELECT 'CREATE DATABASE weir OWNER weir_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'weir')
\gexec
C
}

stop() { ! running || as "$bin/pg_ctl" -D "$home/data" -m fast -w -t "$start_timeout_s" -s stop; }

# kill -9 of the server. Its children see that it is gone and end by themselves; until then no new one can start.
kill_hard() {
    local postmaster pid tries=1200
    running || return 0
    read -r postmaster <"$home/data/postmaster.pid"
    mapfile -t family < <(echo "$postmaster"; pgrep -P "$postmaster")
    kill -9 "$postmaster"
    for pid in "${family[@]}"; do
        while start_time "$pid" >/dev/null && [ $((tries -= 1)) -gt 0 ]; do sleep 0.05; done
    done
    # nobody may ever reap it (a container without init), and Postgres takes a zombie for a running server
    [ "$tries" -le 0 ] || rm -f "$home/data/postmaster.pid" "$home"/run/.s.PGSQL.*
}

command=${1-}
case $command in
start | stop | kill | clean | status | home | psql) shift ;;
*)
    sed -n '3,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
if [ "$command" = start ]; then
    bin=$(binaries)
    make_home
elif [ ! -e "$link" ]; then
    [ "$command" != stop ] && [ "$command" != clean ] || exit 0
    [ "$command" != status ] || { echo "postgres   down"; exit 1; }
    die "there is no Postgres here yet" "./dev services up makes one"
else
    bin=$(binaries)
fi
home=$(readlink -f "$link")
here=$PWD
cd "$home" # the cluster's user must be able to enter the current folder

case $command in
start) start ;;
stop) stop ;;
kill) kill_hard ;;
clean)
    stop
    cd /
    rm -rf "$home" "$link"
    ;;
status) if running; then echo "postgres   up    127.0.0.1:$pg_port  pid $(head -n 1 data/postmaster.pid)"; else
    echo "postgres   down"
    exit 1
fi ;;
home) echo "$home" ;;
psql)
    cd "$here"
    exec "$bin/psql" -h "$home/run" -p "$pg_port" -U weir "$@"
    ;;
esac
