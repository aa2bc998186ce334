# SPDX-License-Identifier: Apache-2.0
"""framing: requests that two readers may read in two ways, each with another request hidden behind it, on raw connections

Each is refused and its connection closed; the hidden request is never answered, and no event comes of either.
"""

import json
import time
import uuid

HIDDEN = "GET /v1/queries HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKS = "\r\n3\r\nabc\r\n0\r\n\r\n"


def forms(space):
    """{what: a request} that must not be taken."""
    path = f"/v1/spaces/{space}/events/SpaceCreated"
    body = json.dumps({"name": "hidden", "owner_id": space, "currency": "EUR"})
    post = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    length = f"Content-Length: {len(body)}\r\n"
    whole = f"{post}{length}\r\n{body}"
    assert whole.count("\r\n\r\n") == 1
    return {
        "blank before the colon": whole.replace("Content-Length:", "Content-Length :"),
        "folded header": whole.replace("json\r\n", "json\r\nX: y\r\n z\r\n"),
        "name made by folding": whole.replace("Content-Length: ", "Content-Lengt: ").replace("\r\n\r\n", "\r\n h\r\n\r\n"),
        "line of a colon": whole.replace("Content-Type", ":\r\nContent-Type"),
        "NUL in the path": whole.replace("SpaceCreated ", "SpaceCreated\0x "),
        "NUL in a header": whole.replace("json\r\n", "json\0x\r\n"),
        "bare LF": whole.replace("json\r\n", "json\n"),
        "two Hosts": whole.replace("Host: localhost\r\n", "Host: localhost\r\nHost: elsewhere\r\n"),
        "no Host": whole.replace("Host: localhost\r\n", ""),
        "foreign Host": whole.replace("Host: localhost", "Host: attacker.example"),
        "two lengths": whole.replace(length, length + length),
        "two different lengths": whole.replace(length, length + "Content-Length: 5\r\n"),
        "signed length": whole.replace("Content-Length: ", "Content-Length: +"),
        "length beside chunks": f"{post}{length}Transfer-Encoding: chunked\r\n{CHUNKS}",
        "unknown coding": f"{post}Transfer-Encoding: gzip\r\n{CHUNKS}",
        "two codings": f"{post}Transfer-Encoding: gzip, chunked\r\n{CHUNKS}",
        "nearly chunked": f"{post}Transfer-Encoding: xchunked\r\n{CHUNKS}",
        "chunks in HTTP/1.0": f"{post}Transfer-Encoding: chunked\r\n{CHUNKS}".replace("HTTP/1.1", "HTTP/1.0"),
        "chunk without a size": f"{post}Transfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n",
        "whole URL": whole.replace("POST /", "POST http://localhost/"),
        "blank in the path": whole.replace("SpaceCreated ", "Space Created "),
        "other version": whole.replace("HTTP/1.1", "HTTP/1.3"),
    }


def attack(target, seconds):
    space = str(uuid.uuid4())
    taken, open_still = [], []
    requests, sent, end = list(forms(space).items()), 0, time.monotonic() + seconds
    while sent < len(requests) or time.monotonic() < end:
        what, text = requests[sent % len(requests)]
        sent += 1
        answer = target.raw((text + HIDDEN).encode(), timeout=20)
        if answer is None:
            open_still.append(what)
        elif b"HTTP/1.1 2" in answer or b'"queries"' in answer:
            taken.append(what)
        elif answer and not 400 <= int(answer.split(b" ")[1]) < 500:
            taken.append(f"{what}: {answer[:40]}")
    return {"requests": sent, f"none is taken {taken}": not taken, f"each is closed {open_still}": not open_still}


def after(target):
    events = target.psql("SELECT count(*) FROM overview.space WHERE name = 'hidden'")[0][0]
    return {"no event came of them": events == 0}
