"""Runs a job with imagekitio 4: {"base", "key", "calls": [[name, argument], ...]} on stdin, an outcome a call on stdout."""

import json
import sys

from imagekitio import ImageKit
from imagekitio.constants.url import URL

job = json.load(sys.stdin)
URL.API_BASE_URL = job["base"]  # fixed in this version
client = ImageKit(private_key=job["key"], public_key="public", url_endpoint="https://ik.imagekit.io/acme")
outcomes = []
for name, argument in job["calls"]:
    try:
        if name == "create":
            outcomes.append({"ok": client.purge_file_cache(argument).request_id})
        else:
            outcomes.append({"ok": client.get_purge_file_cache_status(argument).status})
    except Exception as error:  # its errors have no common class
        meta = getattr(error, "response_metadata", None) or getattr(error, "response_meta_data", None)
        status = getattr(meta, "http_status_code", None)
        outcomes.append({"error": type(error).__name__, "status": status, "message": getattr(error, "message", str(error))})
print(json.dumps(outcomes))
