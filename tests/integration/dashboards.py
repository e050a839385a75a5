#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dashboards and alerts of deploy/ against a real Prometheus that scrapes a loaded gateway: every query of every
panel, and every expression of every alert, gives something, so no metric in them is misspelt or not there yet.
"""
import base64
import glob
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from certificates import Authority  # noqa: E402
from gateway import Gateway, wait_until  # noqa: E402
from prometheus import RULES, Prometheus, program  # noqa: E402

GRAFANA = os.path.join(lib.ROOT, "deploy/grafana")
# Destinations that nobody serves tell their metrics as well.
CONFIG = """
data: {data}
anonymous: loopback
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
tls: {{listen: "127.0.0.1:0", certificate_file: server.pem, key_file: server.key}}
vendors:
  - {{name: aqua, passwords: aqua.txt, topics: ["v1/aqua/#"]}}
  - {{name: quiet}}
routes:
  - {{topic: "v1/{{vendor}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/cjt188", codec: cjt188}}
  - {{topic: "v1/{{vendor}}/{{device}}/cjt188", codec: cjt188}}
sinks:
  - {{type: parquet, flush_age: 300ms}}
  - {{type: discard}}
  - {{type: kafka, brokers: "127.0.0.1:1"}}
  - {{type: clickhouse, url: "http://127.0.0.1:1/default"}}
brokers:
  - {{name: away, url: "mqtt://127.0.0.1:1", topics: ["v1/#"]}}
"""

# One whose admin interface speaks TLS and wants a token.
SECURE = """
data: {data}
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}", certificate_file: server.pem, key_file: server.key, token_file: tokens}}
routes: [{{topic: "v1/{{vendor}}/json", codec: json}}]
sinks: [{{type: discard}}]
"""
TOKEN = "0123456789abcdef0123456789abcdef0123456789abcdef"


def dashboards():
    out = {}
    for path in sorted(glob.glob(GRAFANA + "/dashboards/*.json")):
        with open(path, encoding="utf-8") as file:
            out[os.path.basename(path)] = json.load(file)
    assert len(out) == 4, out.keys()
    return out


def panel_queries():
    """(dashboard and panel, query) with Grafana's variables replaced."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                text = target["expr"].replace("$__rate_interval", "20s")
                text = text.replace("$instance", ".*").replace("$sink", ".*").replace("$vendor", "aqua")
                assert "$" not in text, text
                yield f"{name}: {panel['title']}", text


def without_thresholds(text):
    """With `bool` a comparison gives 0 or 1 for every series, where it else drops those for which it is false."""
    assert " unless " not in text, text
    return re.sub(r" (==|!=|>=|<=|>|<) (?!bool)", r" \1 bool ", text)


def selectors(text):
    """Every metric with its matchers that an expression names."""
    found = re.findall(r"\b((?:tidegate|process|vendor:|instance:|instance_sink:|up\b)[A-Za-z0-9_:]*)"
                       r"(\{[^}]*\})?", text)
    return {name + labels for name, labels in found}


def answered(prometheus, text):
    """Something that is a number; a quantile of a lane that wrote nothing is none."""
    return any(not math.isnan(value) for _, value in prometheus.query(text))


def missing_after_a_while(prometheus, questions):
    """Those without an answer once all that come late (rates, records of records) had their time."""
    left = dict(questions)

    def all_answered():
        for what in [what for what, text in left.items() if answered(prometheus, text)]:
            del left[what]
        return not left
    try:
        wait_until("every query has an answer", all_answered, 45, every=0.5)
    except AssertionError:
        pass
    return left


def certificate(gateway):
    authority = Authority(os.path.join(gateway.folder, "ca"))
    issued = authority.issue("server")
    shutil.copy(issued.certificate, os.path.join(gateway.folder, "server.pem"))
    shutil.copy(issued.key, os.path.join(gateway.folder, "server.key"))
    return authority


def secured(gateway):
    """Starts it; how Prometheus asks it, as deploy/prometheus/prometheus.yml shows."""
    authority = certificate(gateway)
    for name, text in (("tokens", f"prometheus metrics {TOKEN}\n"), ("token", TOKEN)):
        path = os.path.join(gateway.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o600)
    gateway.start(ready=False)
    return {"job_name": "secure", "scheme": "https", "tls_config": {"ca_file": authority.certificate},
            "authorization": {"credentials_file": path},
            "static_configs": [{"targets": [f"127.0.0.1:{gateway.admin_port}"]}]}


def login(gateway):
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", b"secret", salt, 101)
    path = os.path.join(gateway.folder, "aqua.txt")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"aqua:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n")
    os.chmod(path, 0o600)


def loaded(gateway):
    """Two fleets for as long as it takes: one with a login, one without whose messages are spoiled at times."""
    login(gateway)
    certificate(gateway)
    gateway.start()
    return [gateway.sim_start("--vendors", "aqua:json", "--username", "aqua", "--password", "secret", "--rate", "200",
                              "--meters", "200", "--connections", "5", "--duration", "5m"),
            gateway.sim_start("--vendors", "huaxu:cjt188", "--rate", "200", "--meters", "200", "--connections", "5",
                              "--garbage", "100", "--client-id", "two", "--duration", "5m")]


def stopped(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        process.communicate(timeout=60)


# ---- tests ----


def test_no_query_of_a_dashboard_or_an_alert_returns_nothing():
    program("prometheus")
    with Gateway(config=CONFIG) as gateway, Gateway(config=SECURE) as secure:
        sims = loaded(gateway)
        try:
            with Prometheus([f"127.0.0.1:{gateway.admin_port}"], [secured(secure)]) as prometheus:
                questions = {f"{where}: {text}": text for where, text in panel_queries()}
                assert len(questions) > 60, len(questions)
                rules = prometheus.rules()
                for rule in rules:
                    text = rule["query"]
                    questions[f"rule {rule['name']}: {text}"] = without_thresholds(text)
                for text in list(questions.values()):
                    for selector in selectors(text):
                        questions[f"metric {selector}"] = selector
                missing = missing_after_a_while(prometheus, questions)
                assert not missing, "\n".join(["these return nothing:", *missing])
                told = [rule for rule in prometheus.rules() if rule.get("health") != "ok"]
                assert not told, told
                annotations_are_filled_in(prometheus)
                nothing_is_wrong_where_nothing_is(prometheus, secure)
        finally:
            stopped(sims)


def annotations_are_filled_in(prometheus):
    """ClickHouse is away, so that alert waits to fire, and has its texts."""
    def pending():
        return [alert for rule in prometheus.rules() for alert in rule.get("alerts", [])
                if rule["name"] == "TidegateClickHouseServerDown"]
    alert = wait_until("the alert is pending", pending, 30)[0]
    assert "127.0.0.1:1 (shard 1)" in alert["annotations"]["summary"], alert
    for rule in prometheus.rules():
        for alert in rule.get("alerts", []):
            assert "error" not in alert["annotations"]["summary"], alert


# What a machine for tests may well have, and a certificate made for a month.
MAY_BE = {"TidegateClockNotKept", "TidegateDiskFull", "TidegateCertificateExpires"}


def nothing_is_wrong_where_nothing_is(prometheus, gateway):
    """The second gateway is well: no alert of it even waits to fire."""
    instance = f"127.0.0.1:{gateway.admin_port}"
    assert prometheus.query(f'tidegate_ready{{instance="{instance}"}} == 1'), "it is watched"
    alarms = {rule["name"] for rule in prometheus.rules() for alert in rule.get("alerts", [])
              if alert["labels"].get("instance") == instance}
    assert alarms <= MAY_BE, alarms


def test_every_alert_is_tested_and_tells_what_to_do():
    tool = program("promtool")
    with open(RULES, encoding="utf-8") as file:
        text = file.read()
    with open(RULES.replace(".rules.", ".rules.test."), encoding="utf-8") as file:
        tested = set(re.findall(r"^  - name: (\w+)$", file.read(), re.M))
    alerts = re.split(r"^      - alert: ", text, flags=re.M)[1:]
    names = {alert.split("\n")[0] for alert in alerts}
    assert len(names) == len(alerts) > 30, names
    assert names == tested, names ^ tested
    for alert in alerts:
        for word in ('severity: (critical|warning)', 'summary: ".+[.]"', 'action: ".+[.?]"'):
            assert re.search(word, alert), (alert, word)
    for arguments in (["check", "rules", RULES], ["test", "rules", RULES.replace(".rules.", ".rules.test.")],
                      ["check", "config", os.path.join(os.path.dirname(RULES), "prometheus.yml")]):
        result = subprocess.run([tool, *arguments], capture_output=True, timeout=60, cwd=os.path.dirname(RULES))
        assert result.returncode == 0, (result.stdout + result.stderr).decode()


def test_dashboards_are_what_their_tables_say():
    result = subprocess.run([sys.executable, os.path.join(GRAFANA, "make-dashboards"), "--check"],
                            capture_output=True, timeout=30)
    assert result.returncode == 0, result.stderr.decode()
    uids = [dashboard["uid"] for dashboard in dashboards().values()]
    assert len(set(uids)) == len(uids), uids
    for name, dashboard in dashboards().items():
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels), name
        cells = set()
        for panel in panels:
            at = panel["gridPos"]
            mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24 and not cells & mine, (name, panel["title"])
            cells |= mine
        used = set(re.findall(r"\$(\w+|\{\w+\})", json.dumps(panels)))
        known = {one["name"] for one in dashboard["templating"]["list"]} | {"__rate_interval"}
        assert {word.strip("{}") for word in used} <= known, (name, used)


if __name__ == "__main__":
    lib.run(globals())
