# SPDX-License-Identifier: Apache-2.0
"""registry bombs: schemas as large as may be and larger, and of absurd depth, posted to the schema registry on the admin listener

It looks up and compares what it is sent; that must not take longer than reading it.
"""

import json
import time

SIZES = 250_000, 1_000_000  # of a request: what is taken, and more
SUBJECT = "weir.commerce-weir.commerce.ProductPurchased"


def fill(size, form, piece):
    """`form` with so many of piece(i) that the request has that size."""
    count = size // (len(json.dumps(piece(99999))) - 1)
    return form % ",".join(piece(i) for i in range(count))


def bombs(size):
    return {
        "many fields": fill(size, '{"type":"record","name":"R","fields":[%s]}', lambda i: '{"name":"f%d","type":"int"}' % i),
        "many records": fill(size, '{"type":"record","name":"R","fields":[%s]}',
                             lambda i: '{"name":"f%d","type":{"type":"record","name":"R%d","fields":[]}}' % (i, i)),
        "a record named often": fill(size, '{"type":"record","name":"R","fields":[%s]}', lambda i: '{"name":"f%d","type":"R"}' % i),
        "many aliases": fill(size, '{"type":"record","name":"R","fields":[],"aliases":[%s]}', lambda i: '"A%d"' % i),
        "many symbols": fill(size, '{"type":"enum","name":"E","symbols":[%s]}', lambda i: f'"S{i}"'),
        "a wide union": fill(size, "[%s]", lambda i: '{"type":"fixed","name":"F%d","size":1}' % i),
        "many attributes": fill(size, '{"type":"string",%s}', lambda i: f'"x{i}":{i}'),
        "deep arrays": '{"type":"array","items":' * 20000 + '"int"' + "}" * 20000,
        "deep brackets": "[" * (size - 100),
        "a long name": '{"type":"enum","name":"%s","symbols":["A"]}' % ("N" * (size - 100)),
        "white space": " " * (size - 100) + '"string"',
        "no JSON": "\\" * (size // 2 - 100),
    }  # fmt: skip


def attack(target, seconds):
    sent = [bomb for size in SIZES for bomb in bombs(size).items()]
    slowest = ["nothing", 0.0]

    def post(attacker, number):
        name, schema = sent[number % len(sent)]
        path = f"/subjects/{SUBJECT}" + ("" if number // len(sent) % 2 else "/versions")
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        began = time.monotonic()
        attacker.request("POST", path, json.dumps({"schema": schema}), headers)
        took = time.monotonic() - began
        if took > slowest[1]:
            slowest[:] = [name, took]

    count = target.flood(post, seconds, threads=4, admin=True)
    return {"requests": count, "slowest": f"{slowest[0]} {slowest[1]:.1f} s", "none took 10 s": slowest[1] < 10,
            "all are refused": set(target.statuses) <= {404, 409, 413, 415, 422, "closed"}}  # fmt: skip
