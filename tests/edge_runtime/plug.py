"""A plug with a meter, answering on this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHELLY = {"id": 0, "source": "init", "output": True, "apower": 8.9, "voltage": 237.5, "aenergy": {"total": 6.532}}


class Plug:
    """A plug on this machine: `answer` is what it says, as (status, body), or None to hang up without a word."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] | None = (200, json.dumps(SHELLY).encode())
        plug = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if plug.answer is None:
                    self.connection.close()
                    return
                status, body = plug.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/rpc/Switch.GetStatus?id=0"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def says(self, value: object) -> None:
        self.answer = (200, (value if isinstance(value, str) else json.dumps(value)).encode())

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
