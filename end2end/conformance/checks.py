"""The public SCIM checkers against one running Keyward.

`python checks.py NAME` with the base URL in KEYWARD_BASE and a key for the full directory in KEYWARD_TOKEN. NAME is
scim2-tester, scim-sanity or schemas. Writes one line of JSON for each check: {"check", "outcome", "reason"}, where
outcome is passed, failed or skipped. `cargo xtask test --only conformance` reads these lines and knows which of them
are allowed to fail (allowed.json).
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

BASE = os.environ["KEYWARD_BASE"]
TOKEN = os.environ["KEYWARD_TOKEN"]
HERE = pathlib.Path(__file__).parent


def say(check, outcome, reason=""):
    print(json.dumps({"check": check, "outcome": outcome, "reason": reason}), flush=True)


def scim2_tester():
    """PyPI scim2-tester, every check it has, statuses and media types too: what `scim2 --url BASE test` runs."""
    from httpx2 import Client
    from scim2_client.engines.httpx2 import SyncSCIMClient
    from scim2_tester import Status, check_server

    http = Client(base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"})
    client = SyncSCIMClient(http)
    client.check_response_status_codes = True
    client.check_response_content_type = True
    outcomes = {
        Status.SUCCESS: "passed",
        Status.COMPLIANT: "passed",
        Status.ACCEPTABLE: "passed",
        Status.DEVIATION: "failed",
        Status.ERROR: "failed",
        Status.CRITICAL: "failed",
        Status.SKIPPED: "skipped",
    }
    seen = {}
    for result in check_server(client):
        # A title is shared by the checks of many attributes: what is checked is the first thing in quotes.
        subject = ""
        if (result.title or "").startswith("check_"):
            subject = " ".join(re.findall(r"'([^']+)'", result.reason or "")[:1])
        name = " ".join(part for part in (result.resource_type, result.title, subject) if part)
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f"{name} #{seen[name]}"
        say(name, outcomes[result.status], result.reason or "")


def scim_sanity():
    """PyPI scim-sanity: `probe --strict`."""
    program = pathlib.Path(sys.executable).parent / "scim-sanity"
    command = [program, "probe", BASE, "--token", TOKEN, "--i-accept-side-effects", "--strict", "--json-output"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(ran.stdout)
    outcomes = {"pass": "passed", "skip": "skipped"}
    for result in report["results"]:
        reason = result.get("message") or ""
        say(result["name"], outcomes.get(result["status"], "failed"), reason)


def schemas():
    """/Schemas against the characteristics of RFC 7643 8.7.1, attribute by attribute."""
    table = json.loads((HERE / "rfc7643-8.7.json").read_text())
    ours = {schema["id"]: dict(rows(schema["attributes"])) for schema in get("/Schemas")["Resources"]}
    deviations = {(row["schema"], row["attribute"], row["characteristic"]): row["ours"] for row in table["deviations"]}
    used = set()
    for urn, attributes in table["schemas"].items():
        short = urn.rsplit(":", 1)[0].rsplit(":", 2)[-2] + " " + urn.rsplit(":", 1)[-1]
        found = ours.get(urn)
        if found is None:
            say(short, "failed", "there is no such schema")
            continue
        for name, expected in attributes.items():
            wrong = []
            for characteristic, value in expected.items():
                key = (urn, name, characteristic)
                if key in deviations:
                    used.add(key)
                    value = deviations[key]
                actual = found.get(name, {}).get(characteristic)
                if actual != value:
                    wrong.append(f"{characteristic} is {actual!r}, not {value!r}")
            say(f"{short} {name}", "failed" if wrong else "passed", "; ".join(wrong))
        for name in found.keys() - attributes.keys():
            known = (urn, name, None) in deviations
            used.add((urn, name, None))
            say(f"{short} {name}", "passed" if known else "failed", "" if known else "is not in RFC 7643 8.7.1")
    for urn, name, characteristic in deviations.keys() - used:
        say(f"deviation {urn} {name} {characteristic}", "failed", "is named and does not occur")


def rows(attributes, prefix=""):
    for attribute in attributes:
        name = prefix + attribute["name"]
        yield name, attribute
        yield from rows(attribute.get("subAttributes", []), f"{name}.")


def get(path):
    request = urllib.request.Request(BASE + path, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


if __name__ == "__main__":
    {"scim2-tester": scim2_tester, "scim-sanity": scim_sanity, "schemas": schemas}[sys.argv[1]]()
