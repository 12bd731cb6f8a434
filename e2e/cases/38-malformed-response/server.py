"""Responds with heads that a proxy cannot pass on."""

import os
import socketserver

HEADERS = {
    "/folded": ["X-Note: one", " two"],
    "/many": [f"X-Header-{number}: {number}" for number in range(120)],
}


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        request = self.rfile.readline().decode().split(" ")
        while self.rfile.readline().strip():
            pass
        headers = HEADERS.get(request[1], []) if request[1:] else []
        head = ["HTTP/1.1 200 OK", *headers, "Content-Length: 6", "Connection: close"]
        self.wfile.write(("\r\n".join(head) + "\r\n\r\nready\n").encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("", int(os.environ["PORT"])), Handler).serve_forever()
