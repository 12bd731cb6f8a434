"""Tells where its interpreter is."""

import http.server
import os
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"run by {sys.base_prefix}\n".encode())


http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
