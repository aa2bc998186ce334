# SPDX-License-Identifier: Apache-2.0
"""How the program talks to a schema registry: it signs in, trusts, tries again, and believes nothing unchecked."""

import base64
import json
import subprocess
import time

import pytest

from registry_stub import Stub

import events


@pytest.fixture
def stub():
    stubs = []

    def make(**options):
        stubs.append(Stub(**options))
        return stubs[-1]

    yield make
    for one in stubs:
        one.close()


def register(stack, url, *options, check=True, **rest):
    return stack.run("schema", "register", "--schema-registry-url", url, *options, "-o", "json", check=check, **rest)


def added(done):
    return json.loads(done.stdout)["added"]


def test_registers_once_in_order_and_normalized(stack, stub):
    registry = stub()
    assert added(register(stack, registry.url + "/")) == len(events.VERSIONS)
    assert added(register(stack, registry.url)) == 0
    for version in events.VERSIONS.values():
        ids = registry.subjects[f"{version.topic}-{version.topic}.{version.event}"]
        assert ids == sorted(ids) and json.loads(registry.texts[ids[version.version - 1]]) == version.definition
    posts = [path for method, path in registry.requests if method == "POST"]
    assert posts and all(path.endswith("?normalize=true") for path in posts)


def test_failures_that_pass_are_tried_again(stack, stub):
    registry = stub(faults=[503, 500, 429])
    started = time.monotonic()
    assert added(register(stack, registry.url)) == len(events.VERSIONS)
    assert time.monotonic() - started >= 1, "Retry-After was heeded"


def test_failures_that_stay_are_told(stack, stub):
    registry = stub(faults=[400])
    done = register(stack, registry.url, check=False)
    assert done.returncode == 2 and "answers 400" in done.stderr and len(registry.requests) == 1


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_signs_in(stack, stub, kind, tmp_path):
    token = tmp_path / "token"
    token.write_text("ey.J.x\n")
    auth = {"basic": "ada:s3cr:et", "bearer": f"@{token}"}[kind]
    expected = {"basic": "Basic " + base64.b64encode(b"ada:s3cr:et").decode(), "bearer": "Bearer ey.J.x"}[kind]
    registry = stub(authorization=expected)
    assert added(register(stack, registry.url, env={"WEIR_SCHEMA_REGISTRY_AUTH": auth})) == len(events.VERSIONS)
    refused = register(stack, registry.url, env={"WEIR_SCHEMA_REGISTRY_AUTH": "ada:wr0ng"}, check=False)
    assert refused.returncode == 2 and "schema-registry-auth" in refused.stderr and "wr0ng" not in refused.stderr


def test_wrong_options_are_named(stack, tmp_path):
    for options in (("--schema-registry-url", "localhost:8081"), ("--schema-registry-url", "file:///etc/passwd"),
                    ("--schema-registry-url", "http://ada:x@127.0.0.1:1"), ()):
        done = stack.run("schema", "register", *options, check=False)
        assert done.returncode == 2 and "schema-registry" in done.stderr, options
    for auth in ("nocolon", f"@{tmp_path}/nothing"):
        done = register(stack, "http://127.0.0.1:1", env={"WEIR_SCHEMA_REGISTRY_AUTH": auth}, check=False)
        assert done.returncode in (1, 2) and "schema-registry-auth" in done.stderr, auth


def test_trusts_the_certificates_it_is_given_and_no_others(stack, stub, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    registry = stub(tls=(certificate, key))
    assert added(register(stack, registry.url, "--schema-registry-ca", certificate)) == len(events.VERSIONS)
    registry.requests.clear()
    refused = register(stack, registry.url, check=False)
    assert refused.returncode == 2 and "schema-registry-ca" in refused.stderr and not registry.requests


def test_what_the_registry_keeps_is_checked(stack, stub):
    registry = stub()
    register(stack, registry.url)
    registry.garble = '"int"'
    done = register(stack, registry.url, check=False)
    assert done.returncode == 2 and "another schema" in done.stderr
    # how it is written does not count
    version = events.VERSIONS[1]
    registry.garble = None
    registry.texts = {
        number: json.dumps(dict(json.loads(text), doc="normalized"), separators=(",", ":"))
        for number, text in registry.texts.items()
    }
    subject = f"{version.topic}-{version.topic}.{version.event}"
    registry.answer = lambda method, path, body, old=registry.answer: (
        (200, {"id": next(i for i in registry.subjects[path.split("/")[2].partition("?")[0]]
                          if json.loads(registry.texts[i])["fields"] == json.loads(body["schema"])["fields"])})
        if method == "POST" else old(method, path, body)
    )
    assert subject in registry.subjects and added(register(stack, registry.url)) == 0


def test_tools_do_not_register(stack, stub):
    registry = stub()
    done = stack.run("tail", "--schema-registry-url", registry.url, check=False)
    assert done.returncode != 0 and "weir schema register" in done.stderr and not registry.texts
