"""Prints a page of the desk's deeds, a JSON object a line. Arguments: its address, and how many are known already."""

from __future__ import annotations

import json
import sys
import urllib.request

url, after = sys.argv[1], int(sys.argv[2])
with urllib.request.urlopen(f"{url}/deeds/http?after={after}") as answer:
    for number, deed in enumerate(json.load(answer)["deeds"], after + 1):
        print(json.dumps({**deed, "number": number}))
