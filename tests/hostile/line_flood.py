# SPDX-License-Identifier: Apache-2.0
"""line flood: 24 clients send bodies of 1,000 good lines to one Space as fast as they are answered

They may be refused or made to wait; the queue to the broker and the processors are not theirs alone.
"""

import json
import uuid

CLIENTS = 24
LINES = 1000
NDJSON = {"Content-Type": "application/x-ndjson"}


def attack(target, seconds):
    post = {"post_id": str(uuid.uuid4()), "author_id": str(uuid.uuid4()), "title": "flood"}
    body = (json.dumps({"event": "PostPublished", "data": post}) + "\n") * LINES
    space, taken = str(uuid.uuid4()), []

    def publish(attacker, number):
        answer = attacker.publish(space, None, body, headers=NDJSON)
        if answer and answer.status in (202, 207):
            taken.append(answer.body.count(b'"status":202'))

    sent = target.flood(publish, seconds, threads=CLIENTS)
    return {"requests": sent, "events taken": sum(taken)}
