"""A local mirror with the faults that mirrors have."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator


class Mirror:
    """Files to serve by path, and what was asked for; `faults` are used up one a request.

    Faults: "cut" breaks the line half way, "wrong" flips a byte, "missing" is 404, "no ranges"
    sends everything whatever was asked, "slow" takes its time, "no length" announces none, "page"
    is a proxy's web page.
    """

    def __init__(self, files: dict[str, bytes]):
        self.files, self.faults, self.asked = files, [], []
        self.url = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        data = self.files.get(request.path)
        fault = self.faults.pop(0) if self.faults else ""
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        if data is None or fault == "missing":
            request.send_error(404)
            return
        if fault == "page":
            wanted, data = "", b"<html>Please log in</html>"
        first = int(wanted[6:-1]) if wanted and fault != "no ranges" else 0
        if first >= len(data):
            request.send_error(416)
            return
        request.send_response(206 if first else 200)
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        if fault == "page":
            request.send_header("Content-Type", "text/html; charset=utf-8")
        if fault != "no length":
            request.send_header("Content-Length", str(len(data) - first))
        request.end_headers()
        if fault == "wrong":
            data = data[:first] + bytes([data[first] ^ 1]) + data[first + 1 :]
        end = first + (len(data) - first) // 2 if fault == "cut" else len(data)
        for start in range(first, end, 2**20):
            request.wfile.write(data[start : min(end, start + 2**20)])
            time.sleep(0.3 if fault == "slow" else 0)


@contextlib.contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Mirror]:
    """Serve files from a thread while the block lasts."""
    mirror = Mirror(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                mirror.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        mirror.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()
