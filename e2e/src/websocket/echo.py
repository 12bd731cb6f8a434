"""A web process: pages say how many WebSockets it has taken, and a WebSocket says back what it hears (RFC 6455)."""

import base64
import hashlib
import http.server
import os

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
taken = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global taken
        if self.headers.get("Upgrade", "").lower() != "websocket":
            return self.say(f"{taken} taken\n")
        taken += 1
        key = self.headers["Sec-WebSocket-Key"] + MAGIC
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        while self.echo():
            pass

    def say(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def echo(self):
        """One short text; tells whether there may be another."""
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] != 0x81:
            return False
        length = head[1] & 0x7F
        mask = self.rfile.read(4)
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self.rfile.read(length)))
        self.wfile.write(bytes([0x81, length]) + text)
        return True

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
