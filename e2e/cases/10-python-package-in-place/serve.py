import http.server
import json
import os

import place


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = place.where().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print(json.dumps({"message": "ü" * 100_000}, ensure_ascii=False), flush=True)
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
