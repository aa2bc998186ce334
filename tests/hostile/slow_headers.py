# SPDX-License-Identifier: Apache-2.0
"""slow headers: 1,100 connections to the gateway, 70 to its admin port and 70 to the processors', whose headers never end

Each sends a byte now and then, so that none is idle, and one that is closed comes again.
"""

import socket
import time

GATEWAY_CONNECTIONS, PROBE_CONNECTIONS = 1100, 70
AGAIN = 40  # at most so many come again in a round
PAUSE_S = 0.2
HEAD = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class Crowd:
    """So many slow connections to one address."""

    def __init__(self, address, count):
        self.address, self.count = address, count
        self.held, self.closed, self.most, self.longest = {}, 0, 0, 0.0

    def fill(self, end):
        most = self.count if not self.most else len(self.held) + AGAIN
        while len(self.held) < min(self.count, most) and time.monotonic() < end:
            try:
                connection = socket.create_connection(self.address, 5)
                connection.sendall(HEAD)
                self.held[connection] = time.monotonic()
            except OSError:
                self.closed += 1
                time.sleep(0.01)  # a rate, not a wait
        self.most = max(self.most, len(self.held))

    def trickle(self):
        for connection, began in list(self.held.items()):
            try:
                connection.sendall(b"x")
                self.longest = max(self.longest, time.monotonic() - began)
            except OSError:
                del self.held[connection]
                connection.close()
                self.closed += 1

    def close(self):
        for connection in self.held:
            connection.close()


def address_of(url):
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def attack(target, seconds):
    crowds = [
        Crowd(target.gateway_address, GATEWAY_CONNECTIONS),
        Crowd(address_of(target.gateway.admin), PROBE_CONNECTIONS),
        Crowd(address_of(target.processors.url), PROBE_CONNECTIONS),
    ]
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            for crowd in crowds:
                crowd.fill(end)
                crowd.trickle()
            time.sleep(PAUSE_S)  # a rate, not a wait
        return {"connections": [crowd.most for crowd in crowds], "closed": [crowd.closed for crowd in crowds],
                "the longest lived for s": [round(crowd.longest, 1) for crowd in crowds]}  # fmt: skip
    finally:
        for crowd in crowds:
            crowd.close()
