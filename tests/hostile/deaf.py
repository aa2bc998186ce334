# SPDX-License-Identifier: Apache-2.0
"""deaf clients: 200 connections that ask for large answers again and again, and never read one

What waits to be sent to them is bounded, and no thread waits for them.
"""

import time

CONNECTIONS = 200
ASKED_AT_ONCE = 50


def attack(target, seconds):
    host = f"127.0.0.1:{target.gateway_address[1]}"
    question = f"GET /v1/events/ProductPurchased HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * ASKED_AT_ONCE
    held, asked, end = [], 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if len(held) < CONNECTIONS:
                try:
                    connection = target.connect(timeout=5)
                    connection.setblocking(False)
                    held.append(connection)
                except OSError:
                    time.sleep(0.01)  # a rate, not a wait
            for connection in list(held[-20:]):
                try:
                    asked += connection.send(question)
                except BlockingIOError:
                    pass
                except OSError:
                    held.remove(connection)
                    connection.close()
        return {"connections": len(held), "questions": asked * ASKED_AT_ONCE // len(question)}
    finally:
        for connection in held:
            connection.close()
