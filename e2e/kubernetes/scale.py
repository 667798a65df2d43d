#!/usr/bin/env python3
"""Looks at an operator with many databases; `scale` starts it.

usage: scale.py PID DATABASES SECONDS METRICS-URL
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

MEMORY_MB = 200
P99_SECONDS = 1.0
# Calls a second of the second look by those of the first: more is no longer flat.
GROWTH = 1.1
# Until every database has been judged.
PATIENCE_SECONDS = 900
# By then most of what began with the creation has ended.
SETTLE_SECONDS = float(os.environ.get("DOUG_SETTLE", "120"))


def samples(page, name):
    """(labels, value) of one metric."""
    for line in page.splitlines():
        found = re.match(rf"{name}(?:\{{(.*)\}})? ([0-9.e+-]+)", line)
        if found:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1] or ""))
            yield labels, float(found[2])


class Operator:
    def __init__(self, pid, url):
        self.pid, self.url = pid, url

    def page(self):
        try:
            with urllib.request.urlopen(self.url, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def memory_mb(self, field):
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(rf"{field}:\s+(\d+) kB", status.read())[1]) / 1000

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def judged(self):
        """Databases of which conditions are told."""
        told = samples(self.page(), "dougdb_operator_condition")
        return sum(1 for labels, _ in told if labels["condition"] == "Ready")

    def durations(self):
        """Reconciliations that took at most so many seconds."""
        page = self.page()
        name = "dougdb_operator_reconciliation_duration_seconds_bucket"
        bound = lambda labels: float(labels["le"].replace("+Inf", "inf"))
        return {bound(labels): value for labels, value in samples(page, name)}


def p99(before, after):
    """The bound of the bucket in which it is, of what came between."""
    came = {bound: after[bound] - before.get(bound, 0) for bound in after}
    return next(bound for bound in sorted(came) if came[bound] >= 0.99 * came[float("inf")])


def calls():
    """Requests to the API server so far, by verb; but for those of this script, and its own."""
    page = subprocess.run(
        ["kubectl", "get", "--raw", "/metrics"], capture_output=True, text=True, check=True
    ).stdout
    counted = {}
    for labels, value in samples(page, "apiserver_request_total"):
        ours = labels["group"] in ("dougdb.io", "apps", "policy", "events.k8s.io") or labels[
            "resource"
        ] in ("secrets", "pods", "persistentvolumeclaims", "services", "serviceaccounts", "events",
              "networkpolicies", "roles", "rolebindings")
        if ours:
            counted[labels["verb"]] = counted.get(labels["verb"], 0) + value
    return counted


def look(operator, seconds):
    """What it does in so many seconds."""
    begin, cpu = time.time(), operator.cpu_seconds()
    durations, before = operator.durations(), calls()
    time.sleep(seconds)
    after, took = calls(), time.time() - begin
    rates = {verb: (after[verb] - before.get(verb, 0)) / took for verb in after}
    found = {
        "callsPerSecond": round(sum(rates.values()), 2),
        "byVerb": {verb: round(rate, 2) for verb, rate in sorted(rates.items()) if rate >= 0.01},
        "reconciliationsPerSecond": round(
            (operator.durations()[float("inf")] - durations[float("inf")]) / took, 2
        ),
        "p99Seconds": p99(durations, operator.durations()),
        "cores": round((operator.cpu_seconds() - cpu) / took, 3),
        "memoryMB": round(operator.memory_mb("VmRSS")),
    }
    print(json.dumps(found), flush=True)
    return found


def main():
    pid, count, seconds, url = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    operator, begin = Operator(pid, url), time.time()
    while (judged := operator.judged()) < count:
        if not os.path.exists(f"/proc/{pid}/stat"):
            sys.exit("the operator has ended")
        if time.time() - begin > PATIENCE_SECONDS:
            sys.exit(f"only {judged} of {count} databases were judged in {PATIENCE_SECONDS} s")
        time.sleep(1)
    made = p99({}, operator.durations())
    print(f"{count} databases were made in {time.time() - begin:.0f} s, p99 {made} s", flush=True)
    time.sleep(SETTLE_SECONDS)
    first, second = look(operator, seconds), look(operator, seconds)
    peak = operator.memory_mb("VmHWM")
    print(f"most memory: {peak:.0f} MB")
    wrong = [
        text
        for fails, text in [
            (peak > MEMORY_MB, f"{peak:.0f} MB of memory, more than {MEMORY_MB}"),
            (made > P99_SECONDS, f"p99 of {made} s while they were made"),
            (second["p99Seconds"] > P99_SECONDS, f"p99 of {second['p99Seconds']} s at rest"),
            (
                second["callsPerSecond"] > first["callsPerSecond"] * GROWTH + 0.5,
                "calls become more though nothing changes",
            ),
        ]
        if fails
    ]
    sys.exit("\n".join(wrong) or None)


main()
