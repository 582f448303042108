"""A real HTTP server on loopback that takes webhook messages and answers as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0SECRET/B0SECRET/xyzzy"


class Webhook:
    """What came in, and what is answered: status codes in turn, the last one for ever; 0 answers never."""

    def __init__(self, answers: list[int]) -> None:
        self.answers, self.messages, self.calls = answers, list[dict[str, Any]](), 0
        self.address = ""

    def take(self, body: bytes) -> int:
        status = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if status == 200:
            self.messages.append(json.loads(body))
        return status


@contextmanager
def webhook(*answers: int) -> Iterator[Webhook]:
    """A server that answers so (default: 200)."""
    hook = Webhook(list(answers) or [200])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = hook.take(self.rfile.read(int(self.headers["Content-Length"])))
            if not status:
                time.sleep(3)
                return
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    hook.address = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
