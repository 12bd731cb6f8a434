"""Says what it was asked for, and at /count how often: with http.server, or for gunicorn as `application`."""

import http.server
import sys

count = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        global count
        if self.path == "/count":
            return self.say(str(count))
        count += 1
        try:
            self.skip_body()
            self.say(f"{self.command} {self.path}")
        except ValueError:
            # The body has no end: no answer either.
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_DELETE = answer

    def skip_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        while size := int(self.rfile.readline().split(b";")[0], 16):
            self.rfile.read(size + 2)
        while self.rfile.readline().strip():
            pass

    def say(self, text):
        self.send_response(200)
        self.send_header("X-App", "python")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def application(environ, start_response):
    global count
    path = environ["RAW_URI"]
    if path != "/count":
        count += 1
    environ["wsgi.input"].read()
    text = str(count) if path == "/count" else f"{environ['REQUEST_METHOD']} {path}"
    start_response("200 OK", [("X-App", "gunicorn"), ("Content-Length", str(len(text)))])
    return [text.encode()]


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
