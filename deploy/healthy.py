"""A container's health check: `healthy.py URL [NAME ...]` fails unless the page answers and calls each component NAME healthy."""

import json
import sys
import urllib.request

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the page is on an inner network, no proxy knows it
page, *components = sys.argv[1:]
with DIRECT.open(page, timeout=10) as answer:
    told = json.load(answer) if components else {}
sick = [name for name in components if told[name]["status"] != "healthy"]
sys.exit(f"{page}: {', '.join(sick)} not healthy" if sick else 0)
