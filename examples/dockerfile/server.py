"""A small web app on the standard library alone, that answers with its name."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"dockerfile example, powered by {os.environ.get('POWERED_BY', 'Deis Workflow')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    # Threads of idle connections must not hold up the end.
    daemon_threads = True
    request_queue_size = 128


server = Server(("", int(os.environ.get("PORT", "5000"))), Hello)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
