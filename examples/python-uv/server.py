"""A web app of the standard library that answers with its name."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from greeting import text


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Handler).serve_forever()
