"""FastAPI with Pipenv: the server among the packages starts it."""

import os
import platform

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
def hello():
    return f"python-fastapi example on Python {platform.python_version()}, {os.environ.get('POWERED_BY', 'Deis Workflow')}\n"
