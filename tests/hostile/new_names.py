# SPDX-License-Identifier: Apache-2.0
"""new names: each request invents a Space, writes to it and reads from it, and asks for events and queries that do not exist

Memory, metrics, logs and tables in memory must not grow with the names that somebody invents.
"""

import uuid

SERIES_MORE = 60  # of codes, queries and events that nobody had used before


def count_series(target):
    url = target.probe_url(target.gateway).replace("/livez", "/metrics")
    return sum(not line.startswith("#") for line in target.http.get(url, timeout=30).text.splitlines())


def attack(target, seconds):
    before = count_series(target)

    def invent(attacker, number):
        space = str(uuid.uuid4())
        attacker.publish(space, "PostPublished", {"post_id": space, "author_id": space, "title": "x"})
        attacker.request("GET", f"/v1/spaces/{space}/overview")
        attacker.request("GET", f"/v1/spaces/{uuid.uuid4()}/transactions?limit=100")
        attacker.publish(space, f"E{space}", {})
        attacker.request("GET", f"/v1/spaces/{space}/q{space}?{space}=1")
        attacker.request(f"M{number}", f"/{space}")

    sent = target.flood(invent, seconds)
    series = count_series(target)
    return {"Spaces": sent, "series": f"{before}→{series}", "names are no series": series <= before + SERIES_MORE}
