# SPDX-License-Identifier: Apache-2.0
"""A schema registry that is as difficult as a test wants it: it demands a sign-in, fails first, or answers nonsense."""

import http.server
import json
import ssl
import threading


class Stub:
    """Serves Confluent's API on a free port. `faults` are statuses that the next requests get instead of an answer."""

    def __init__(self, authorization=None, faults=(), first_id=1, tls=None):
        self.authorization = authorization
        self.faults = list(faults)
        self.first_id = first_id
        self.subjects = {}  # {subject: [id]}
        self.texts = {}  # {id: text}
        self.requests = []
        self.garble = None  # what is served instead of a schema's text
        handler = type("Handler", (_Handler,), {"stub": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, path, body):
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["schemas", "ids"]:
            text = self.texts.get(int(parts[2]))
            return (200, {"schema": self.garble or text}) if text else (404, {"error_code": 40403, "message": "no"})
        if parts[0] == "mode":
            return 404, {}
        known = [i for i in self.subjects.get(parts[1], []) if self.texts[i] == body["schema"]]
        if not known and len(parts) == 2:
            return 404, {"error_code": 40401, "message": "no"}
        if not known:
            known = [self.first_id + len(self.texts)]
            self.texts[known[0]] = body["schema"]
            self.subjects.setdefault(parts[1], []).append(known[0])
        return 200, {"id": known[0]}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        stub = self.stub
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        stub.requests.append((self.command, self.path))
        if stub.authorization and self.headers.get("Authorization") != stub.authorization:
            status, answer = 401, {"error_code": 401, "message": "Unauthorized"}
        elif stub.faults:
            status, answer = stub.faults.pop(0), {}
        else:
            status, answer = stub.answer(self.command, self.path, json.loads(body) if body else None)
        data = json.dumps(answer).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = handle_any

    def log_message(self, *_):
        pass
