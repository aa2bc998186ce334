# SPDX-License-Identifier: Apache-2.0
"""The honest client: steady traffic of a few Spaces, in a process of its own, and how long each of its steps took.

    honest.py GATEWAY-URL RATE TOKEN SPACE… -- PROBE-URL…

Events are due at RATE a second, whether or not earlier ones were answered: a time counts from when its step was due. One in
ten is read back with Weir-After, another one in ten is followed by a page of a query. A kept connection that the server
closed before it answered is opened anew, once, as any client would. All else but 202 and 200 is an error. Connections are
kept for a while only, and a probe opens one of its own, so that who cannot get in any more is noticed.

Orders come by stdin, a line each, and are answered by a line of JSON each:

    begin PHASE    what is due from now on belongs to it
    end            nothing more becomes due; waits until what was due is answered, and says {kind: {count, errors, p99_ms, …}}
"""

import collections
import http.client
import itertools
import json
import sys
import threading
import time
import urllib.parse
import uuid

ADDRESS = "127.0.0.2"  # of this client, so that limits by address tell it from the attackers
THREADS = 24
KEPT_REQUESTS = 20  # of one connection
STEP_S = 30  # for one answer
END_S = 60  # for all that was due to be answered
PROBE_S = 0.2
EXAMPLES = 3
JSON = {"Content-Type": "application/json"}


class Wrong(Exception):
    """An answer that an honest client must not get."""


class Connection:
    """One kept connection to a URL's host."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=STEP_S, source_address=(ADDRESS, 0))
        self.kept = 0

    def close(self):
        self.http.close()
        self.kept = 0

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body)"""
        if self.kept >= KEPT_REQUESTS:
            self.close()
        while True:
            try:
                self.http.request(method, path, body, headers or {})
                answer = self.http.getresponse()
                self.kept += 1
                return answer.status, answer.headers, answer.read()
            except OSError as failure:
                again = self.kept and isinstance(failure, ConnectionError)
                self.close()
                if not again:
                    raise


class Phase:
    def __init__(self, name):
        self.name = name
        self.times = collections.defaultdict(list)
        self.errors = collections.Counter()
        self.examples = []
        self.under_way = 0
        self.until = float("inf")

    def report(self):
        kinds = {}
        for kind in sorted({*self.times, *self.errors}):
            times = sorted(self.times[kind])
            at = lambda part: 1000 * times[min(len(times) - 1, int(part * len(times)))] if times else 0
            kinds[kind] = {
                "count": len(times), "errors": self.errors[kind], "p50_ms": at(0.5), "p99_ms": at(0.99),
                "max_ms": at(1), "examples": self.examples,
            }  # fmt: skip
        return kinds


def make_events(token):
    """Endless (event, body), none of which breaks a rule of the domain."""
    member = itertools.cycle([str(uuid.uuid4()) for _ in range(40)])
    product, author = str(uuid.uuid4()), str(uuid.uuid4())
    for number in itertools.count():
        yield "ProductPurchased", {
            "purchase_id": str(uuid.uuid4()), "buyer_id": next(member), "currency": "EUR", "total": 100 + number % 900,
            "items": [{"product_id": product, "unit_price": 100 + number % 900, "label": f"{token} {number}"}],
        }  # fmt: skip
        yield "PostPublished", {"post_id": str(uuid.uuid4()), "author_id": author, "title": f"{token} {number}"}
        yield "MemberJoined", {"member_id": str(uuid.uuid4()), "display_name": f"{token} {number}"}


class Client:
    def __init__(self, url, rate, token, spaces, probes):
        self.url, self.rate, self.token, self.spaces, self.probes = url, rate, token, spaces, probes
        self.lock = threading.Condition()
        self.phase = None
        self.due = 0.0
        self.number = 0
        self.events = make_events(token)

    def next_step(self):
        """(phase, when it is due, number, event, body) of a step that nobody has taken yet."""
        with self.lock:
            self.lock.wait_for(lambda: self.phase and self.due < self.phase.until)
            phase, self.number = self.phase, self.number + 1
            phase.under_way += 1
            self.due += 1 / self.rate
            return phase, self.due, self.number, *next(self.events)

    def note(self, phase, kind, seconds, failure=None):
        with self.lock:
            phase.times[kind].append(seconds)
            if failure:
                phase.errors[kind] += 1
                if len(phase.examples) < EXAMPLES:
                    phase.examples.append(f"{kind}: {failure}")

    def timed(self, phase, kind, since, step):
        """What `step` returns, or None when it failed; its time is noted."""
        try:
            result, failure = step(), None
        except Exception as error:  # of any kind: a timeout, a refused connection, an answer that is no JSON
            result, failure = None, f"{type(error).__name__}: {error}"[:300]
        self.note(phase, kind, time.monotonic() - since, failure)
        return result

    def work(self):
        connection = Connection(self.url)
        while True:
            phase, due, number, event, body = self.next_step()
            time.sleep(max(0, due - time.monotonic()))
            if due < phase.until:
                self.step(connection, phase, due, number, event, body)
            with self.lock:
                phase.under_way -= 1
                self.lock.notify_all()

    def step(self, connection, phase, due, number, event, body):
        space = self.spaces[number % len(self.spaces)]
        receipt = self.timed(phase, "ack", due, lambda: self.publish(connection, space, event, body))
        if number % 10 == 0 and receipt:
            self.timed(phase, "row", due, lambda: self.read(connection, space, "overview", {"Weir-After": receipt}))
        elif number % 10 == 5:
            since = time.monotonic()
            self.timed(phase, "read", since, lambda: self.read(connection, space, "transactions?limit=5"))

    def publish(self, connection, space, event, body):
        headers = {**JSON, "Idempotency-Key": str(uuid.uuid4())}
        path = f"/v1/spaces/{space}/events/{event}"
        status, headers, answer = connection.request("POST", path, json.dumps(body), headers)
        if status != 202:
            raise Wrong(f"{status} {answer[:200]}")
        return headers["Weir-Receipt"]

    def read(self, connection, space, query, headers=None):
        status, _, answer = connection.request("GET", f"/v1/spaces/{space}/{query}", None, headers)
        if status != 200:
            raise Wrong(f"{status} {answer[:200]}")
        found = json.loads(answer)
        if "space_id" in found and found["space_id"] != space:
            raise Wrong(f"asked for {space}, and got {answer[:200]}")

    def probe(self, url):
        def look():
            connection = Connection(url)
            try:
                status = connection.request("GET", urllib.parse.urlsplit(url).path)[0]
            finally:
                connection.close()
            if status != 200:
                raise Wrong(f"{url} is {status}")

        while True:
            phase, since = self.phase, time.monotonic()
            if phase and since < phase.until:
                self.timed(phase, "probe", since, look)
            time.sleep(PROBE_S)

    def begin(self, name):
        with self.lock:
            self.phase = Phase(name)
            self.due = time.monotonic()
            self.lock.notify_all()

    def end(self):
        with self.lock:
            phase = self.phase
            phase.until = time.monotonic()
            if not self.lock.wait_for(lambda: phase.under_way == 0 and self.due >= phase.until, END_S):
                phase.errors["ack"] += 1 + int(max(0, phase.until - self.due) * self.rate)
                phase.examples.append(f"ack: what was due could not be done within {END_S} s more")
            self.phase = None
            return phase.report()

    def run(self):
        for target, *arguments in [(self.work,)] * THREADS + [(self.probe, url) for url in self.probes]:
            threading.Thread(target=target, args=arguments, daemon=True).start()
        for line in sys.stdin:
            order, *words = line.split()
            answer = self.begin(*words) if order == "begin" else self.end()
            print(json.dumps(answer), flush=True)


def main():
    url, rate, token, *rest = sys.argv[1:]
    at = rest.index("--")
    client = Client(url, float(rate), token, rest[:at], rest[at + 1 :])
    connection = Connection(url)
    for space in client.spaces:
        client.publish(connection, space, "SpaceCreated", {"name": token, "owner_id": str(uuid.uuid4()), "currency": "EUR"})
    client.run()


main()
