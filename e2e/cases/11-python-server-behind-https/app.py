"""Responds with the scheme of the request, as frameworks read it."""


def respond(environ, start_response):
    body = f"scheme={environ['wsgi.url_scheme']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
