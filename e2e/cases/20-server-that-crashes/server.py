import http.server
import os
import signal


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/exit":
            os._exit(3)
        if self.path == "/signal":
            # As a shell says it of a program that a signal ended.
            os._exit(128 + signal.SIGSEGV)
        if self.path == "/memory":
            pages = bytearray(512 << 20)
            pages[::4096] = b"x" * len(pages[::4096])
        body = b"still here\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
