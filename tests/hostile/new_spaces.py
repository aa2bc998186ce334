# SPDX-License-Identifier: Apache-2.0
"""new Spaces: each request invents a Space, writes to it and reads from it and from another one that is not there

Memory, metrics and tables in memory must not grow with the number of Spaces that somebody invents.
"""

import uuid


def attack(target, seconds):
    def invent(attacker, number):
        space = str(uuid.uuid4())
        attacker.publish(space, "PostPublished", {"post_id": space, "author_id": space, "title": "x"})
        attacker.request("GET", f"/v1/spaces/{space}/overview")
        attacker.request("GET", f"/v1/spaces/{uuid.uuid4()}/transactions?limit=100")

    sent = target.flood(invent, seconds)
    text = target.http.get(target.probe_url(target.gateway).replace("/livez", "/metrics"), timeout=30).text
    return {"Spaces": sent, "series": text.count("\n"), "metrics name no Space": "-" not in "".join(
        line.split("{")[-1] for line in text.splitlines() if "space" in line.lower())}  # fmt: skip
