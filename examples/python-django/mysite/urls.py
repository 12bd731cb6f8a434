"""One page, which names the collected file."""

import os
import platform

from django.http import HttpResponse
from django.templatetags.static import static
from django.urls import path


def home(request):
    powered_by = os.environ.get("POWERED_BY", "Deis Workflow")
    text = f"python-django example on Python {platform.python_version()}, {powered_by}, {static('style.css')}\n"
    return HttpResponse(text, content_type="text/plain")


urlpatterns = [path("", home)]
