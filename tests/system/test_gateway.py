# SPDX-License-Identifier: Apache-2.0
"""The gateway over HTTP with a real broker: receipts, keys, problems and limits."""
import contextlib
import datetime
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import uuid

import pytest
import requests
from harness import wait_until
from gateway_process import JSON, NDJSON, ROOT, WEIR, Gateway, decode, record_at, records_of_space

BROKERS = os.environ.get("WEIR_KAFKA_BROKERS", "127.0.0.1:19092")
BUYER = "0190a5f0-7a1c-7000-8000-000000000002"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    subprocess.run([WEIR, "topics", "create", "--kafka-brokers", BROKERS], check=True)
    gateway = Gateway(BROKERS, tmp_path_factory.mktemp("gateway") / "log", "--body-max", "64KiB", "--event-max", "16KiB",
                      "--lines-max", "50", "--allowed-host", "shop.test")
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def space():
    return str(uuid.uuid4())


def purchase(**changes):
    body = {"purchase_id": "0190A5F0-7A1C-7000-8000-00000000000A", "buyer_id": BUYER, "currency": "EUR", "total": 2500,
            "items": [{"product_id": BUYER, "unit_price": 1000, "quantity": 2}, {"product_id": BUYER, "unit_price": 500}]}
    body.update(changes)
    return {k: v for k, v in body.items() if v is not ...}


def is_problem(response, status, name):
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"/problems/{name}" and problem["status"] == status and problem["title"]
    return problem


def test_event_becomes_record(gateway, space):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    body = purchase(channel="APP", meta={"occurred_at": "2026-01-01T00:00:00Z", "actor": "ada"})
    moment = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)).replace(microsecond=123456)
    body["meta"]["occurred_at"] = moment.isoformat().replace("+00:00", "Z")
    response = gateway.post(space.upper(), "ProductPurchased", body, key='"order 1"', headers={"traceparent": trace})
    assert response.status_code == 202, response.text
    assert response.headers["Idempotency-Key"] == '"order 1"'
    receipt = response.json()
    assert receipt["idempotency_key"] == "order 1" and receipt["event"] == "ProductPurchased"
    record = record_at(BROKERS, receipt)
    assert record.key() == space.encode()
    headers = {k: v.decode() for k, v in record.headers()}
    assert headers == {"ce_specversion": "1.0", "ce_type": "weir.commerce.ProductPurchased",
                       "ce_source": f"/spaces/{space}", "ce_id": receipt["event_id"],
                       "ce_time": body["meta"]["occurred_at"], "content-type": "application/avro", "traceparent": trace}
    name, event = decode(record)
    assert name == "ProductPurchased"
    assert str(event["meta"]["event_id"]) == receipt["event_id"]
    assert event["meta"]["occurred_at"] == moment
    assert event["meta"]["actor"] == "ada" and event["meta"]["correlation_id"] is None
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(b"ProductPurchased\n" + canonical.encode()).digest()
    assert event["meta"]["fingerprint"] == int.from_bytes(digest[:8], "big", signed=True)
    assert [i["quantity"] for i in event["items"]] == [2, 1]
    assert event["channel"] == "APP" and event["total"] == 2500 and event["fee_bps"] == 500
    assert str(event["purchase_id"]).lower() == body["purchase_id"].lower()
    kind, broker_ms = record.timestamp()
    assert kind == 2, "LogAppendTime"
    stamp = datetime.datetime.fromisoformat(receipt["timestamp"].replace("Z", "+00:00"))
    assert round(stamp.timestamp() * 1000) == broker_ms


def test_key_made_by_the_server_is_the_event_id(gateway, space):
    receipt = gateway.post(space, "ProductPurchased", purchase()).json()
    assert receipt["idempotency_key"] == receipt["event_id"]
    assert uuid.UUID(receipt["event_id"]).version == 7
    again = gateway.post(space, "ProductPurchased", purchase(), key=receipt["idempotency_key"]).json()
    assert again["event_id"] == receipt["event_id"]
    one, two = (decode(record_at(BROKERS, r))[1]["meta"] for r in (receipt, again))
    assert one["fingerprint"] == two["fingerprint"]


def test_same_key_same_id_other_body_other_fingerprint(gateway, space):
    first = gateway.post(space, "ProductPurchased", purchase(), key="k").json()
    other = gateway.post(space, "ProductPurchased", purchase(total=9), key="k").json()
    elsewhere = gateway.post(str(uuid.uuid4()), "ProductPurchased", purchase(), key="k").json()
    assert first["event_id"] == other["event_id"] != elsewhere["event_id"]
    prints = [decode(record_at(BROKERS, r))[1]["meta"]["fingerprint"] for r in (first, other, elsewhere)]
    assert prints[0] != prints[1] and prints[0] == prints[2]


def test_partition_is_javas(gateway):
    # murmur2 of these keys, modulo 6, by org.apache.kafka.common.utils.Utils
    def murmur2(data):
        m, h = 0x5BD1E995, 0x9747B28C ^ len(data)
        for i in range(0, len(data) - 3, 4):
            k = int.from_bytes(data[i:i + 4], "little") * m & 0xFFFFFFFF
            k = (k ^ k >> 24) * m & 0xFFFFFFFF
            h = (h * m & 0xFFFFFFFF) ^ k
        tail = data[len(data) // 4 * 4:]
        if tail:
            h = (h ^ int.from_bytes(tail, "little")) * m & 0xFFFFFFFF
        h = (h ^ h >> 13) * m & 0xFFFFFFFF
        return h ^ h >> 15
    for _ in range(20):
        space = str(uuid.uuid4())
        receipt = gateway.post(space, "ProductPurchased", purchase()).json()
        assert receipt["partition"] == (murmur2(space.encode()) & 0x7FFFFFFF) % 6


FAULTS = [
    ({"total": ...}, "/total"), ({"total": "2500"}, "/total"), ({"total": 1.5}, "/total"), ({"total": None}, "/total"),
    ({"totl": 1}, "/totl"), ({"buyer_id": "nobody"}, "/buyer_id"), ({"channel": "FAX"}, "/channel"),
    ({"items": [{"product_id": BUYER}]}, "/items/0/unit_price"), ({"items": {}}, "/items"),
    ({"items": [{"product_id": BUYER, "unit_price": 1}, 7]}, "/items/1"),
    ({"fee_bps": 3000000000}, "/fee_bps"), ({"meta": 1}, "/meta"), ({"meta": {"actr": "x"}}, "/meta/actr"),
    ({"meta": {"event_id": BUYER}}, "/meta/event_id"), ({"meta": {"fingerprint": 1}}, "/meta/fingerprint"),
    ({"meta": {"occurred_at": "yesterday"}}, "/meta/occurred_at"),
    ({"meta": {"occurred_at": "2020-01-01T00:00:00Z"}}, "/meta/occurred_at"),
    ({"meta": {"occurred_at": "2099-01-01T00:00:00Z"}}, "/meta/occurred_at"),
    ({"meta": {"occurred_at": -1}}, "/meta/occurred_at"),
    ({"meta": {"occurred_at": 9223372036854775807}}, "/meta/occurred_at"),
    ({"meta": {"correlation_id": "x"}}, "/meta/correlation_id"),
]


@pytest.mark.parametrize("changes,pointer", FAULTS, ids=lambda v: str(v)[:40])
def test_fault_is_named_by_pointer(gateway, space, changes, pointer):
    response = gateway.post(space, "ProductPurchased", purchase(**changes), key="f")
    problem = is_problem(response, 422, "invalid-event")
    assert pointer in [e["pointer"] for e in problem["errors"]], problem
    assert all(e["detail"] for e in problem["errors"]) and problem["idempotency_key"] == "f"


def test_all_faults_at_once_and_nothing_written(gateway, space):
    response = gateway.post(space, "ProductPurchased", purchase(total="x", channel="FAX", buyer_id=1, extra=1))
    pointers = {e["pointer"] for e in is_problem(response, 422, "invalid-event")["errors"]}
    assert pointers == {"/total", "/channel", "/buyer_id", "/extra"}
    assert records_of_space(BROKERS, "weir.commerce", space) == []


@pytest.mark.parametrize("body,where", [("", "line 1"), ('{"a":1', "line 1"), ('{"a":1,\n"a":2}', "line 2"),
                                        ('{"a":1} x', "line 1"), (b'{"a":"\xff"}', "line 1"), ('{"a":"\\u0000"}', "line 1"),
                                        ("[" * 10000, "line 1")], ids=str)
def test_malformed_json_has_a_position(gateway, space, body, where):
    problem = is_problem(gateway.post(space, "ProductPurchased", body), 400, "malformed-json")
    assert where in problem["detail"] and "byte" in problem["detail"]


def test_json_that_is_no_object(gateway, space):
    for body in ("[]", "1", '"x"', "null"):
        problem = is_problem(gateway.post(space, "ProductPurchased", body), 422, "invalid-event")
        assert problem["errors"][0]["pointer"] == ""


def test_unknown_things(gateway, space):
    problem = is_problem(gateway.post(space, "ProductPurchase", "{}"), 404, "unknown-event")
    assert "ProductPurchased" in problem["detail"]
    assert "did you mean" not in is_problem(gateway.post(space, "Xyzzy", "{}"), 404, "unknown-event")["detail"]
    is_problem(gateway.post("42", "ProductPurchased", "{}"), 404, "bad-space-id")
    for path in ("/", "/v1", "/v1/spaces", f"/v1/spaces/{space}", f"/v1/spaces/{space}/events/A/b", "/v1/events/",
                 f"/v1/spaces/{space}/events%2FProductPurchased", "/v2/events", "//v1/events"):
        is_problem(requests.get(gateway.url + path, timeout=30), 404, "not-found")
    is_problem(gateway.post(space, "CreditsGranted", "{}"), 403, "internal-event")


def test_methods(gateway, space):
    url = f"{gateway.url}/v1/spaces/{space}/events/ProductPurchased"
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        response = requests.request(method, url, timeout=30)
        is_problem(response, 405, "method-not-allowed")
        assert response.headers["Allow"] == "POST"
    response = requests.post(gateway.url + "/v1/events", timeout=30)
    is_problem(response, 405, "method-not-allowed")
    assert response.headers["Allow"] == "GET, HEAD"
    assert requests.post(gateway.admin + "/metrics", timeout=30).status_code == 405


def test_media_types(gateway, space):
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/jsonx"}, {"Content-Type": ""},
                    {"Content-Encoding": "gzip"}):
        is_problem(gateway.post(space, "ProductPurchased", purchase(), headers=headers), 415, "unsupported-media-type")
    accepted = gateway.post(space, "ProductPurchased", purchase(), headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert accepted.status_code == 202
    url = f"{gateway.url}/v1/spaces/{space}/events"
    is_problem(requests.post(url, data="{}", headers=JSON, timeout=30), 415, "unsupported-media-type")


def test_sizes(gateway, space):
    # under the body's limit and those of its fields, over the event's
    large = purchase(items=[{"product_id": BUYER, "unit_price": 1, "label": "x" * 200}] * 100)
    is_problem(gateway.post(space, "ProductPurchased", large), 413, "event-too-large")
    is_problem(gateway.post(space, "ProductPurchased", "x" * (64 * 1024 + 1)), 413, "body-too-large")
    chunks = requests.post(f"{gateway.url}/v1/spaces/{space}/events/ProductPurchased", headers=JSON, timeout=10,
                           data=iter([b"x" * 10000] * 10))
    is_problem(chunks, 413, "body-too-large")
    is_problem(gateway.post(space, "ProductPurchased", purchase(), headers={"X-Large": "x" * 17000}), 431,
               "headers-too-large")
    is_problem(gateway.post(space, "ProductPurchased", purchase(), key="k" * 256), 400, "bad-idempotency-key")
    assert gateway.post(space, "ProductPurchased", purchase(), key="k" * 255).status_code == 202


def test_a_huge_body_is_refused_before_it_is_sent(gateway, space):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.putrequest("POST", f"/v1/spaces/{space}/events/ProductPurchased")
    for name, value in {**JSON, "Content-Length": str(10**12), "Expect": "100-continue"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413 and json.loads(response.read())["type"] == "/problems/body-too-large"


@pytest.mark.parametrize("headers", ["Content-Length: 2\r\nContent-Length: 3", "Content-Length: 2\r\nContent-Length: 2",
                                     "Content-Length: 2\r\nTransfer-Encoding: chunked", "Content-Length: -2",
                                     "Content-Length: 2x", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                                     "Content-Length : 2", "Transfer-Encoding: gzip", "Content-Length: 2\r\nX: y\r\n z"])
def test_doubtful_framing_is_refused_and_the_connection_closed(gateway, space, headers):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as s:
        s.sendall(f"POST /v1/spaces/{space}/events/ProductPurchased HTTP/1.1\r\nHost: localhost\r\n"
                  f"Content-Type: application/json\r\n{headers}\r\n\r\n{{}}".encode())
        answer = b""
        while part := s.recv(65536):
            answer += part
    # libmicrohttpd 0.9.75 sends the head of its own refusals twice, so status lines are not counted
    assert set(re.findall(rb"HTTP/1.1 (\d+)", answer)) == {b"400"}


def test_a_refused_head_is_a_problem(gateway):
    """A request that a page of another site made a browser send is one of them: its Host is that site's."""
    for host, status in (("shop.test", 200), ("localhost:1", 200), ("[::1]", 200), ("127.9.9.9:80", 200),
                         ("evil.test", 421), ("localhost.evil.test", 421), ("shop.test.evil.test", 421)):
        for url in (f"{gateway.url}/v1/events", f"{gateway.admin}/livez"):
            answer = requests.get(url, headers={"Host": host}, timeout=30)
            assert answer.status_code == status, (url, host)
    problem = is_problem(requests.get(f"{gateway.url}/v1/events", headers={"Host": "evil.test"}, timeout=30), 421, "foreign-host")
    assert "--allowed-host" in problem["detail"]
    # from 1.0 on libmicrohttpd refuses this one itself, in HTML
    assert requests.get(f"{gateway.url}/v1/events", headers={"X ": "y"}, timeout=30).status_code == 400


def test_slow_headers_take_nothing_from_others(tmp_path, space):
    """Three times as many connections as there may be, each with headers that never end."""
    gateway = Gateway(BROKERS, tmp_path / "log", "--connections-max", "40", "--header-timeout", "2s")
    slow = []
    try:
        for number in range(120):
            slow.append(socket.create_connection(("127.0.0.1", gateway.port), timeout=30))
            slow[-1].sendall(b"POST /v1/events HTTP/1.1\r\nHost: loc")
            if number % 10 == 0:
                assert gateway.post(space, "ProductPurchased", purchase()).status_code == 202
                assert requests.get(gateway.admin + "/readyz", timeout=30).status_code == 200
        wait_until(lambda: gateway.metric('weir_gateway_connections_ended_total{reason="head"}'), 60, "the late ones are ended")
        assert gateway.metric('weir_gateway_connections_ended_total{reason="evicted"}') >= 80
        assert gateway.metric('weir_gateway_connections_ended_total{reason="refused"}') == 0
        for connection in slow:
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
    finally:
        for connection in slow:
            connection.close()
        assert gateway.stop() == 0


def test_ndjson_answers_each_line(gateway, space):
    lines = [json.dumps({"event": "ProductPurchased", "data": purchase()}), "",
             json.dumps({"event": "ProductPurchased", "data": purchase(total="x")}),
             json.dumps({"event": "CreditsGranted", "data": {}}), "{oops",
             json.dumps({"event": "ProductPurchased", "key": "mine", "data": purchase()}),
             json.dumps({"event": "Nonsense", "data": {}}), json.dumps({"data": {}}),
             json.dumps({"event": "ProductPurchased", "data": purchase(), "more": 1}), "7"]
    response = requests.post(f"{gateway.url}/v1/spaces/{space}/events", data="\n".join(lines), timeout=30,
                             headers={**NDJSON, "Idempotency-Key": "batch"})
    assert response.status_code == 207 and response.headers["Content-Type"] == "application/x-ndjson"
    answers = [json.loads(line) for line in response.text.splitlines()]
    assert [(a["line"], a["status"]) for a in answers] == [
        (1, 202), (3, 422), (4, 403), (5, 400), (6, 202), (7, 404), (8, 422), (9, 422), (10, 422)]
    assert [a["idempotency_key"] for a in answers][:5] == ["batch#1", "batch#3", "batch#4", "batch#5", "mine"]
    assert answers[1]["errors"][0]["pointer"] == "/total"
    assert len(records_of_space(BROKERS, "weir.commerce", space)) == 2


def test_ndjson_of_one_event(gateway, space):
    url = f"{gateway.url}/v1/spaces/{space}/events/ProductPurchased"
    body = "".join(json.dumps(purchase(total=n)) + "\r\n" for n in range(50))
    response = requests.post(url, data=body, timeout=30, headers={**NDJSON, "Idempotency-Key": "b"})
    assert response.status_code == 202, response.text
    answers = [json.loads(line) for line in response.text.splitlines()]
    again = [json.loads(line) for line in
             requests.post(url, data=body, timeout=30, headers={**NDJSON, "Idempotency-Key": "b"}).text.splitlines()]
    assert [a["event_id"] for a in answers] == [a["event_id"] for a in again] and len(answers) == 50
    totals = [decode(m)[1]["total"] for m in records_of_space(BROKERS, "weir.commerce", space)]
    assert totals == list(range(50)) * 2, "the order of the lines is that of the log"
    is_problem(requests.post(url, data=body + body, timeout=30, headers=NDJSON), 413, "too-many-lines")
    is_problem(requests.post(url, data="\n\n", timeout=30, headers=NDJSON), 400, "malformed-json")


def test_catalog_is_shown(gateway):
    events = {e["event"]: e for e in requests.get(gateway.url + "/v1/events", timeout=30).json()["events"]}
    assert set(events) == {p.parent.name for p in (ROOT / "schemas").glob("*/*/*.avsc")}
    schema = requests.get(gateway.url + events["ProductPurchased"]["schema"], timeout=30)
    assert schema.text == (ROOT / f"schemas/commerce/ProductPurchased/{events['ProductPurchased']['version']}.avsc").read_text()


def test_health_and_metrics(gateway, space):
    gateway.post(space, "ProductPurchased", purchase())
    assert requests.get(gateway.admin + "/livez", timeout=30).status_code == 200
    ready = requests.get(gateway.admin + "/readyz?verbose", timeout=30)
    assert ready.status_code == 200 and "[+]kafka ok" in ready.text and "[+]topics ok" in ready.text
    for name in ('weir_gateway_requests_total{code="202",event="ProductPurchased"}', "weir_gateway_request_duration_seconds_count"):
        # an answer is counted once it is on its way
        wait_until(lambda: (gateway.metric(name) or 0) >= 1, 60, f"{name} counts it")
    assert space not in requests.get(gateway.admin + "/metrics", timeout=30).text
    assert space not in gateway.log.read_text()


@pytest.mark.parametrize("options,text", [
    (["--gateway-listen", "0.0.0.0:0"], "--gateway-behind-proxy"),
    (["--request-timeout", "5s", "--delivery-timeout", "6s"], "request-timeout"),
    (["--kafka", "no.such.thing=1"], "no.such.thing"), (["--gateway-listen", "nowhere"], "HOST:PORT"),
    (["--gateway-listen", "127.0.0.1:99999"], "from 0 to 65535"), (["--gateway-listen", "127.0.0.1:80x"], "from 0 to 65535"),
    (["--partitions", "0"], "partitions"), (["surplus"], "surplus")])
def test_bad_configuration_stops_the_start(options, text):
    done = subprocess.run([WEIR, "gateway", *options], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and text in done.stderr
