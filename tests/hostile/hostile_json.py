# SPDX-License-Identifier: Apache-2.0
"""hostile JSON: bodies that are too deep, too wide, too long, twice there or no JSON at all, at every door

Each has the answers it may get; none is a 500, none makes an answer as large as the question, none takes seconds.
"""

import gzip
import json
import time
import uuid

MIB = 1024 * 1024
FULL = MIB - 200
ANSWER_BYTES_MAX = 64 * 1024
ANSWER_S_MAX = 5
REFUSED = {400, 413, 415, 422}
NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


def purchase(**more):
    return {"purchase_id": str(uuid.uuid4()), "buyer_id": str(uuid.uuid4()), "currency": "EUR", "total": 100, "items": [], **more}


def with_text(field, text):
    """A purchase in which that field is this JSON text."""
    body = purchase()
    body.pop(field, None)
    return json.dumps(body)[:-1] + f', "{field}": {text}}}'


def bodies():
    """(name, event, body, headers, the answers it may get)"""
    settings = lambda text: f'{{"settings": {text}}}'
    good = json.dumps(purchase())
    for name, event, body, *rest in (
        ("deep arrays", "ProductPurchased", "[" * FULL),
        ("deep objects", "ProductPurchased", '{"a":' * (FULL // 5)),
        ("deep and closed", "ProductPurchased", with_text("items", "[" * 200000 + "]" * 200000)),
        ("deep in a map", "SpaceSettingsChanged", settings('{"a":' * 100000 + "1" + "}" * 100000)),
        ("a number of 1 MB", "ProductPurchased", with_text("total", "9" * (FULL - 500))),
        ("a fraction of 1 MB", "ProductPurchased", with_text("total", "1." + "0" * (FULL - 500) + "1")),
        ("1e400", "ProductPurchased", with_text("total", "1e400")),
        ("-1e400", "ProductPurchased", with_text("total", "-1e400")),
        ("beyond a long", "ProductPurchased", with_text("total", "9223372036854775808")),
        ("beyond a double's whole numbers", "ProductPurchased", with_text("total", "1e19")),
        ("beyond an int", "ProductPurchased", with_text("fee_bps", "2147483648")),
        ("a fraction", "ProductPurchased", with_text("total", "0.5")),
        ("NaN", "ProductPurchased", with_text("total", "NaN")),
        ("Infinity", "ProductPurchased", with_text("total", "-Infinity")),
        ("hexadecimal", "ProductPurchased", with_text("total", "0x10")),
        ("a leading zero", "ProductPurchased", with_text("total", "0100")),
        ("a leading plus", "ProductPurchased", with_text("total", "+100")),
        ("true for a number", "ProductPurchased", with_text("total", "true")),
        ("a text for a number", "ProductPurchased", with_text("total", '"100"')),
        ("a field twice", "ProductPurchased", good[:-1] + ', "total": 1}'),
        ("a field twice, spelt differently", "ProductPurchased", good[:-1] + ', "\\u0074otal": 1}'),
        ("a key of a map twice", "SpaceSettingsChanged", settings('{"a": "1", "a": "2"}')),
        ("meta twice", "ProductPurchased", good[:-1] + ', "meta": {}, "meta": {}}'),
        ("a long unknown key", "ProductPurchased", good[:-1] + f', "{"k" * (FULL - 500)}": 1}}'),
        ("many unknown keys", "ProductPurchased", good[:-1] + "".join(f', "k{i}": 1' for i in range(60000)) + "}"),
        ("keys of control characters", "ProductPurchased", good[:-1] + ', "\\u0000\\u001b[31m": 1}'),
        ("many bad items", "ProductPurchased", with_text("items", "[" + ",".join(["{}"] * 300000) + "]")),
        ("many nulls", "ProductPurchased", with_text("items", "[" + ",".join(["null"] * 200000) + "]")),
        ("half a surrogate", "ProductPurchased", with_text("currency", '"\\ud800"')),
        ("a surrogate alone behind", "ProductPurchased", with_text("currency", '"\\udc00\\ud800"')),
        ("NUL", "ProductPurchased", with_text("currency", '"E\\u0000R"')),
        ("a BOM", "ProductPurchased", b"\xef\xbb\xbf" + good.encode()),
        ("UTF-16", "ProductPurchased", good.encode("utf-16")),
        ("UTF-32", "ProductPurchased", good.encode("utf-32")),
        ("overlong UTF-8", "ProductPurchased", with_text("currency", '"X"').encode().replace(b'"X"', b'"\xc0\x80"')),
        ("a surrogate as UTF-8", "ProductPurchased", with_text("currency", '"X"').encode().replace(b'"X"', b'"\xed\xa0\x80"')),
        ("beyond Unicode", "ProductPurchased", with_text("currency", '"X"').encode().replace(b'"X"', b'"\xf4\x90\x80\x80"')),
        ("a raw NUL", "ProductPurchased", good.replace("EUR", "E\0R")),
        ("a raw line end in a text", "ProductPurchased", good.replace("EUR", "E\nR")),
        ("nothing", "ProductPurchased", ""),
        ("white space", "ProductPurchased", " " * FULL),
        ("something behind", "ProductPurchased", good + "{}"),
        ("a comment", "ProductPurchased", "/* */" + good),
        ("single quotes", "ProductPurchased", good.replace('"', "'")),
        ("a comma too many", "ProductPurchased", good[:-1] + ",}"),
        ("a text of escapes", "ProductPurchased", with_text("currency", '"' + "\\u0001" * 160000 + '"')),
        ("null", "ProductPurchased", "null"),
        ("an array", "ProductPurchased", f"[{good}]"),
        ("more than may be", "ProductPurchased", " " * (MIB + 1)),
        ("compressed", "ProductPurchased", gzip.compress(good.encode()), {**JSON, "Content-Encoding": "gzip"}, {400, 415}),
        ("compressed and not said", "ProductPurchased", gzip.compress(good.encode())),
        ("an unknown coding", "ProductPurchased", good, {**JSON, "Content-Encoding": "x-none"}, {400, 415}),
        ("a form", "ProductPurchased", good, {"Content-Type": "application/x-www-form-urlencoded"}, {415}),
        ("no type", "ProductPurchased", good, {}, {415}),
        ("another charset", "ProductPurchased", good.encode("utf-16"), {"Content-Type": "application/json; charset=utf-16"}),
        ("good", "ProductPurchased", good, JSON, {202}),
        ("good with a charset", "ProductPurchased", good, {"Content-Type": "application/json; charset=utf-8"}, {202}),
        ("a million empty lines", None, "\n" * FULL, NDJSON),
        ("half a million lines", None, "0\n" * (FULL // 2), NDJSON),
        ("a line of 1 MB", None, "x" * FULL, NDJSON, {207, *REFUSED}),
        ("lines of brackets", None, ("[" * 1000 + "\n") * 900, NDJSON, {207, *REFUSED}),
        ("lines of nothing known", None, '{"event": "X", "data": {}}\n' * 1000, NDJSON, {207}),
        ("lines with long names", None, ('{"event": "%s", "data": {}}\n' % ("X" * 1000)) * 900, NDJSON, {207, *REFUSED}),
        ("lines with one key", None, '{"event": "PostPublished", "key": "k", "data": {}}\n' * 1000, NDJSON, {207, *REFUSED}),
        ("lines with a bad key", None, '{"event": "PostPublished", "key": "\\n", "data": {}}\n' * 500, NDJSON, {207}),
        ("lines in CR", None, f'{{"event": "ProductPurchased", "data": {good}}}\r' * 2, NDJSON, {207, *REFUSED}),
    ):  # fmt: skip
        headers, allowed = (rest + [JSON, REFUSED][len(rest) :])[:2]
        yield name, event, body, headers, allowed


def attack(target, seconds):
    sent, end = list(bodies()), time.monotonic() + seconds
    attacker, wrong, slowest, largest, count = target.attacker(), {}, (0.0, ""), (0, ""), 0
    while count < len(sent) or time.monotonic() < end:
        name, event, body, headers, allowed = sent[count % len(sent)]
        began = time.monotonic()
        # a Space each: the rate of one would answer for the body
        answer = attacker.publish(str(uuid.uuid4()), event, body, headers=headers)
        slowest = max(slowest, (time.monotonic() - began, name))
        if not answer or answer.status not in allowed:
            wrong[name] = answer and (answer.status, answer.body[:200])
        elif headers is not NDJSON:
            largest = max(largest, (len(answer.body), name))
            if answer.status != 202 and answer.headers["Content-Type"] != "application/problem+json":
                wrong[name] = answer.headers["Content-Type"]
        count += 1
    attacker.close()
    assert not wrong, f"of {len(sent)} bodies these are answered wrongly: {wrong}"
    return {
        "bodies": count, "slowest": f"{slowest[1]} {slowest[0]:.2f} s", "largest answer": f"{largest[1]} {largest[0]}",
        "none took long": slowest[0] < ANSWER_S_MAX, "none was answered at length": largest[0] < ANSWER_BYTES_MAX,
    }  # fmt: skip
