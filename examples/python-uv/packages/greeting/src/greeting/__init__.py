"""The text of the app."""

import os
import platform


def text():
    return f"python-uv example on Python {platform.python_version()}, {os.environ.get('POWERED_BY', 'Deis Workflow')}\n"
