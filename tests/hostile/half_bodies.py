# SPDX-License-Identifier: Apache-2.0
"""half bodies: 1,100 connections that send their headers and half of a body, and then a byte now and then

A body has a time in which it must come; until then such a connection may hold nothing that others need.
"""

import time
import uuid

CONNECTIONS = 1100


def attack(target, seconds):
    head = (f"POST /v1/spaces/{uuid.uuid4()}/events/PostPublished HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{").encode()  # fmt: skip
    held, refused, end = [], 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            while len(held) < CONNECTIONS and time.monotonic() < end:
                try:
                    connection = target.connect(timeout=5)
                    connection.sendall(head)
                    held.append(connection)
                except OSError:
                    refused += 1
                    time.sleep(0.01)  # a rate, not a wait
            for connection in list(held):
                try:
                    connection.sendall(b" ")
                except OSError:
                    held.remove(connection)
                    connection.close()
            time.sleep(0.2)  # a rate, not a wait
        return {"held at the end": len(held), "refused": refused}
    finally:
        for connection in held:
            connection.close()
