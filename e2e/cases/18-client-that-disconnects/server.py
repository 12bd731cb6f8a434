"""Responds to `/wait/...` after two minutes, and logs if its connection ends before that."""

import os
import select
import socketserver


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        request = self.rfile.readline().decode().split(" ")
        while self.rfile.readline().strip():
            pass
        if request[1:] and request[1].startswith("/wait/"):
            self.wait(request[1])
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nready\n")

    def wait(self, path):
        print(f"{path} waits", flush=True)
        readable, _, _ = select.select([self.connection], [], [], 120)
        ended = readable and not self.connection.recv(1)
        print(f"{path} {'disconnected' if ended else 'waited to the end'}", flush=True)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("", int(os.environ["PORT"])), Handler).serve_forever()
