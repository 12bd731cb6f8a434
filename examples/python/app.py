"""A small web app that answers with its name."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return f"python example, powered by {os.environ.get('POWERED_BY', 'Deis Workflow')}\n"
