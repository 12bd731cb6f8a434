"""A small web app that answers with its name."""

import os
import platform

import bottle

app = bottle.Bottle()


@app.get("/")
def index():
    return f"python-setup example on Python {platform.python_version()}, {os.environ.get('POWERED_BY', 'Deis Workflow')}\n"


def main():
    bottle.run(app, server="waitress", host="0.0.0.0", port=int(os.environ.get("PORT", "5000")))
