"""Runs a job with imagekitio 5: {"base", "key", "calls": [[name, argument], ...]} on stdin, an outcome a call on stdout."""

import json
import sys

from imagekitio import APIStatusError, ImageKit

job = json.load(sys.stdin)
invalidation = ImageKit(private_key=job["key"], base_url=job["base"]).cache.invalidation
outcomes = []
for name, argument in job["calls"]:
    try:
        if name == "create":
            outcomes.append({"ok": invalidation.create(url=argument).request_id})
        else:
            outcomes.append({"ok": invalidation.get(argument).status})
    except APIStatusError as error:
        message = error.body.get("message") if isinstance(error.body, dict) else None
        outcomes.append({"error": type(error).__name__, "status": error.status_code, "message": message})
print(json.dumps(outcomes))
