#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# One real Kafka broker of this checkout's own, on 127.0.0.1: no container, no system service, no root. The jars are
# those of Maven Central (kafka/pom.xml), in the cache folder that all checkouts share; data, pid and log lie in
# .weir/. The first clean stop leaves a class archive in the cache, which halves the next start.
#
#   kafka.sh fetch | start | stop | kill | clean | status | tool CLASS [ARGUMENT…]
#
# WEIR_KAFKA_PORT (19092; the controller listens on the next one), WEIR_KAFKA_HEAP (256m), WEIR_STATE (.weir)
# WEIR_KAFKA_PROXY: the port of a proxy; the broker listens on WEIR_KAFKA_PORT + 2 as well, for clients that come by it
set -euo pipefail
# shellcheck source=tests/services/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

here=$root/tests/services/kafka
jars=$cache/kafka-$kafka_version
home=$state/kafka
pid_file=$home/pid
log=$logs/kafka.log
start_timeout_s=150 # of a machine that is busy with others; a broker that dies is noticed at once

# The archive is made by, and only good for, one build of Java.
archive() {
    local java
    java=$(readlink -f "$(command -v java)")
    echo "$cache/kafka-$kafka_version-java-$(stat -c %Y "$java").jsa"
}

need_java() {
    command -v java >/dev/null || die "java is missing" "./dev install puts it there (package default-jre-headless)"
    [ -e "$jars/done" ] || die "the broker's jars are missing from $jars" "./dev install fetches them"
}

fetch() {
    [ ! -e "$jars/done" ] || return 0
    mkdir -p "$cache"
    exec 8>"$cache/kafka.lock"
    flock 8
    [ ! -e "$jars/done" ] || return 0
    say "fetching the jars of Kafka $kafka_version from Maven Central into $jars"
    rm -rf "$jars" "$jars.new"
    if ! mvn -q -B -f "$here/pom.xml" -Dkafka.version="$kafka_version" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$jars.new" >&2; then
        die "mvn could not fetch the broker's jars" \
            "is Maven Central reachable? behind a mirror or proxy, set it in ~/.m2/settings.xml"
    fi
    touch "$jars.new/done"
    mv "$jars.new" "$jars"
}

# The broker serves when it lists itself: kcat retries the connection within its own two seconds.
serves() {
    local list
    list=$(kcat -b "127.0.0.1:$kafka_port" -L -m 2 2>/dev/null) && grep -q '^ [1-9][0-9]* brokers:' <<<"$list"
}

format() {
    local id
    [ ! -f "$home/data/meta.properties" ] || return 0
    # a cluster id is 22 characters of base64url; W first, so that it cannot look like an option
    id=W$(head -c 16 /dev/urandom | base64 | tr '+/' '_x' | cut -c 2-22)
    java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$jars/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" \
        kafka.tools.StorageTool format -c "$home/server.properties" -t "$id" >>"$log" 2>&1 || died Kafka "$log"
}

start() {
    local heap=${WEIR_KAFKA_HEAP:-256m} cds jsa deadline
    ! pid_of "$pid_file" >/dev/null || return 0
    need_java
    port_free "$kafka_port" Kafka WEIR_KAFKA_PORT
    port_free "$((kafka_port + 1))" "Kafka's controller" WEIR_KAFKA_PORT
    mkdir -p "$home/data" "$logs"
    sed "s#@DATA@#$home/data#; s#@PORT@#$kafka_port#g; s#@CONTROLLER@#$((kafka_port + 1))#g" \
        "$here/server.properties" >"$home/server.properties"
    [ -z "${WEIR_KAFKA_PROXY-}" ] || cat >>"$home/server.properties" <<P
listeners=PLAINTEXT://127.0.0.1:$kafka_port,PROXIED://127.0.0.1:$((kafka_port + 2)),CONTROLLER://127.0.0.1:$((kafka_port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port,PROXIED://127.0.0.1:$WEIR_KAFKA_PROXY
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
P
    format
    jsa=$(archive)
    if [ -s "$jsa" ]; then cds=-XX:SharedArchiveFile=$jsa; else cds=-XX:ArchiveClassesAtExit=$home/new.jsa; fi
    launch "$pid_file" "$log" java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC "$cds" -Xlog:cds=off -Xlog:cds+dynamic=off \
        -cp "$jars/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" kafka.Kafka "$home/server.properties"
    deadline=$((SECONDS + start_timeout_s))
    until serves; do
        pid_of "$pid_file" >/dev/null || died Kafka "$log"
        [ "$SECONDS" -lt "$deadline" ] || died "Kafka (within $start_timeout_s s)" "$log"
    done
}

stop() {
    end "$pid_file" 30
    # the cache may lie on another disk: put there in one piece, for others start meanwhile
    if [ -s "$home/new.jsa" ]; then
        jsa=$(archive)
        mv -f "$home/new.jsa" "$jsa.$$"
        mv -f "$jsa.$$" "$jsa"
    fi
}

case ${1-} in
fetch) fetch ;;
start) start ;;
stop) stop ;;
kill)
    if pid=$(pid_of "$pid_file"); then kill -9 "$pid"; fi
    while pid_of "$pid_file" >/dev/null; do sleep 0.05; done
    # a zombie by now, but its last threads may still hold its ports
    for port in "$kafka_port" "$((kafka_port + 1))"; do
        while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done
    done
    ;;
clean)
    stop
    rm -rf "$home"
    ;;
status) if pid=$(pid_of "$pid_file"); then echo "kafka      up    127.0.0.1:$kafka_port  pid $pid"; else
    echo "kafka      down"
    exit 1
fi ;;
tool)
    need_java
    shift
    exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$jars/*" \
        "-Dlog4j2.configurationFile=$here/log4j2.properties" "$@"
    ;;
*)
    sed -n '3,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
