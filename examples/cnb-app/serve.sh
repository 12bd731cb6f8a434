#!/bin/bash
# A page of one line, by the file server of the image.
set -eu
mkdir -p /tmp/page
echo "cnb-app example, powered by ${POWERED_BY:-Deis Workflow}" >/tmp/page/index.html
exec /usr/bin/slug static /tmp/page
