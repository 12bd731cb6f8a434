"""Flask with Poetry: the server among the dependencies starts it."""

import os
import platform

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return f"python-flask example on Python {platform.python_version()}, {os.environ.get('POWERED_BY', 'Deis Workflow')}\n"
