# SPDX-License-Identifier: Apache-2.0
"""big answers: pages of a Space whose rows are as large as the contract lets them be, half of them never read

No answer is larger than the limit, and what waits to be sent is bounded.
"""

import json
import socket
import time

from target import SANITIZED

SPACE = "0190a5f0-7a1c-7000-8000-0000000000f2"
PRODUCTS = 200
LINES = 20  # of a body
ANSWER_MAX = 1 << 20
MEMORY_MB = 120
DEAF = 40
PATH = f"/v1/spaces/{SPACE}/products?limit=200"


def prepare(target):
    attacker = target.attacker()
    for first in range(0, PRODUCTS, LINES):
        lines = [
            {
                "product_id": f"0190a5f0-7a1c-7000-8000-{number:012d}",
                "title": "\x01" * 200,
                "kind": "DIGITAL",
                "price": {"amount": 100, "currency": "EUR"},
                "tags": ["\x01" * 50] * 50,  # six letters of JSON each
            }
            for number in range(first, first + LINES)
        ]
        answer = attacker.publish(SPACE, "ProductPublished", "\n".join(map(json.dumps, lines)), key=f"big-{first}",
                                  headers={"Content-Type": "application/x-ndjson"})  # fmt: skip
        assert answer.status == 202, answer.body[:500]
    target.wait_drained()
    attacker.close()


def attack(target, seconds):
    sizes, rows, deaf = [], set(), []
    before = target.status_mb(target.gateway, "VmRSS")

    def read(attacker, number):
        answer = attacker.request("GET", PATH)
        if answer and answer.status == 200:
            sizes.append(len(answer.body))
            body = json.loads(answer.body)
            rows.add((len(body["items"]), body["next"] is not None))
        else:
            time.sleep(0.02)  # a rate, not a wait

    try:
        for _ in range(DEAF):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(target.gateway_address)
            connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{target.gateway_address[1]}\r\n\r\n".encode())
            deaf.append(connection)
        target.flood(read, seconds)
    finally:
        for connection in deaf:
            connection.close()
    grown = target.status_mb(target.gateway, "VmHWM") - before
    return {
        "answers": len(sizes),
        "largest of them": max(sizes, default=0),
        "none is beyond the limit": max(sizes, default=0) <= ANSWER_MAX + 1000,
        "each is a part of the page that can be gone on with": all(count < PRODUCTS and more for count, more in rows),
        "MB more": grown,
        "the gateway's memory is bounded": SANITIZED or grown < MEMORY_MB,
    }
