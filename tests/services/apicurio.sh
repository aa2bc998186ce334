#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# One real schema registry, Apicurio, of this checkout's own, on 127.0.0.1: what it holds is in memory, or with a file
# in .weir/ when WEIR_REGISTRY_KEEP is set, so that it survives a stop. It speaks Confluent's API at
# http://127.0.0.1:PORT/apis/ccompat/v7. The program comes from Maven Central (110 MB) into the cache folder that all
# checkouts share; version 3.0.9 is the last that runs on Java 17.
#
#   apicurio.sh fetch | start | stop | clean | status
#
# WEIR_REGISTRY_PORT (19096; its management listens on the next one), WEIR_STATE (.weir)
set -euo pipefail
# shellcheck source=tests/services/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=3.0.9
port=${WEIR_REGISTRY_PORT:-19096}
app=$cache/apicurio-$version
home=$state/apicurio
pid_file=$home/pid
log=$logs/apicurio.log
start_timeout_s=240
artifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all

fetch() {
    [ ! -e "$app/done" ] || return 0
    command -v java >/dev/null || die "java is missing" "./dev install puts it there"
    command -v mvn >/dev/null || die "mvn is missing" "apt-get install maven"
    mkdir -p "$cache"
    exec 8>"$cache/apicurio.lock"
    flock 8
    [ ! -e "$app/done" ] || return 0
    say "fetching Apicurio Registry $version from Maven Central into $app"
    rm -rf "$app.new"
    mkdir "$app.new"
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dartifact="$artifact" \
        -DoutputDirectory="$app.new" >&2 || die "mvn could not fetch Apicurio Registry" "is Maven Central reachable?"
    tar xzf "$app.new/apicurio-registry-app-$version-all.tar.gz" -C "$app.new"
    rm "$app.new/apicurio-registry-app-$version-all.tar.gz"
    touch "$app.new/done"
    mv "$app.new" "$app"
}

serves() { curl -fsS -m 2 -o /dev/null "http://127.0.0.1:$port/apis/ccompat/v7/subjects" 2>/dev/null; }

start() {
    local deadline store=()
    ! pid_of "$pid_file" >/dev/null || return 0
    [ -e "$app/done" ] || die "Apicurio Registry is missing from $app" "tests/services/apicurio.sh fetch"
    port_free "$port" "Apicurio Registry" WEIR_REGISTRY_PORT
    port_free "$((port + 1))" "Apicurio's management" WEIR_REGISTRY_PORT
    mkdir -p "$home" "$logs"
    if [ -n "${WEIR_REGISTRY_KEEP-}" ]; then store=("-Dapicurio.datasource.url=jdbc:h2:file:$home/data"); fi
    launch "$pid_file" "$log" java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${store[@]}" \
        -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" \
        -Dquarkus.management.host=127.0.0.1 "-Dquarkus.management.port=$((port + 1))" -jar "$app/apicurio-registry-app-$version-runner.jar"
    deadline=$((SECONDS + start_timeout_s))
    until serves; do
        pid_of "$pid_file" >/dev/null || died Apicurio "$log"
        [ "$SECONDS" -lt "$deadline" ] || died "Apicurio (within $start_timeout_s s)" "$log"
        sleep 0.2
    done
}

case ${1-} in
fetch) fetch ;;
start) start ;;
stop) end "$pid_file" ;;
clean)
    end "$pid_file"
    rm -rf "$home"
    ;;
status) if pid=$(pid_of "$pid_file"); then echo "apicurio   up    127.0.0.1:$port  pid $pid"; else
    echo "apicurio   down"
    exit 1
fi ;;
*)
    sed -n '4,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
