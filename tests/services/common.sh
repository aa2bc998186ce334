# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034  # the variables are for those who source this
#
# What dev and the scripts of this folder share: messages, folders and ports, and processes that are known by a
# pid file. Sourced, never run. A pid file holds the pid and the start time of its process, so that a pid which
# another process got since is never taken for ours, and never ended.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
state=${WEIR_STATE:-$root/.weir}
cache=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/weir
logs=$state/log
kafka_version=4.3.1
kafka_port=${WEIR_KAFKA_PORT:-19092}
pg_port=${WEIR_PG_PORT:-15432}
gateway_port=${WEIR_GATEWAY_PORT:-18080}
processor_port=${WEIR_PROCESSOR_PORT:-18081}
admin_port=${WEIR_ADMIN_PORT:-$((processor_port + 1))}

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [WHAT-TO-DO]
die() {
    say "weir: $1"
    [ -z "${2-}" ] || say "      $2"
    exit 1
}

# The start time of a process, in clock ticks; nothing when it is gone or a zombie.
start_time() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086  # the fields after the name, which may hold spaces itself
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$1" != X ] && echo "${20}"
}

# pid_of FILE: the pid that the file names, if that very process still runs
pid_of() {
    local pid started
    [ -s "$1" ] || return 1
    read -r pid started <"$1"
    [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

# launch FILE LOG COMMAND…: start a process that outlives this terminal, and note it in FILE
launch() {
    local file=$1 log=$2 pid
    shift 2
    mkdir -p "$(dirname "$file")" "$(dirname "$log")"
    setsid "$@" >>"$log" 2>&1 </dev/null 8>&- 9>&- &
    pid=$!
    echo "$pid $(start_time "$pid")" >"$file"
}

# end FILE [SECONDS]: SIGTERM, and SIGKILL when it has not gone by then
end() {
    local pid tries=$((${2:-20} * 20))
    if pid=$(pid_of "$1"); then
        kill "$pid" 2>/dev/null || true
        while pid_of "$1" >/dev/null && [ "$tries" -gt 0 ]; do
            sleep 0.05
            tries=$((tries - 1))
        done
        if pid_of "$1" >/dev/null; then
            say "pid $pid ignored SIGTERM: SIGKILL"
            kill -9 "$pid" 2>/dev/null || true
            # it holds its ports until it is gone
            while pid_of "$1" >/dev/null; do sleep 0.05; done
        fi
    fi
    rm -f "$1"
}

# port_free PORT WHO VARIABLE: explain a port that somebody else holds
port_free() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        die "port $1, which $2 is to use, is taken by another process" \
            "end that process, or choose another port: export $3=…"
    fi
}

# died WHO LOG: the end of its log is the best explanation there is
died() {
    say "--- the end of $2"
    tail -n 20 "$2" >&2 || true
    die "$1: failed" "the whole log is in $2"
}
