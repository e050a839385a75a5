#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: the overlays as kustomize renders them (kubectl's own, from PyPI), against the schemas of
Kubernetes, and against the program that they start. No cluster: what a controller does with them is not tested."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Skip  # noqa: E402

FOLDER = os.path.join(lib.ROOT, "deploy/kubernetes")
TOOLS = os.path.dirname(lib.READER)
OVERLAYS = ("one", "three")
VERSIONS = ("1.29", "1.34")  # the oldest that has all fields, and a newer one


def tool(name):
    path = os.path.join(TOOLS, name)
    if not os.path.exists(path):
        raise Skip(f"no {name} in {TOOLS}: deploy/setup --readers makes it")
    return path


def run(*command, stdin=None, check=True):
    result = subprocess.run(command, capture_output=True, timeout=120, input=stdin)
    assert not check or result.returncode == 0, f"{command}: {result.stderr.decode()}\n{result.stdout.decode()}"
    return result


def rendered(overlay):
    return run(tool("kubectl"), "kustomize", os.path.join(FOLDER, "overlays", overlay)).stdout


def objects(overlay):
    """kind/name -> object."""
    code = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"
    found = json.loads(run(lib.READER, "-c", code, stdin=rendered(overlay)).stdout)
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in found}


def pod(overlay):
    return objects(overlay)["StatefulSet/tidegate"]["spec"]["template"]["spec"]


def container(overlay):
    return pod(overlay)["containers"][0]


def validate(text, version):
    return run(tool("kubernetes-validate"), "--strict", "--no-warn", "-k", version, "/dev/stdin", stdin=text, check=False)


def test_both_overlays_are_what_kubernetes_knows():
    for overlay in OVERLAYS:
        text = rendered(overlay)
        for version in VERSIONS:
            result = validate(text, version)
            assert result.returncode == 0, f"{overlay}, {version}: {result.stdout.decode()}{result.stderr.decode()}"


def test_a_mistake_would_be_seen():
    text = rendered("one")
    for good, bad in ((b"readOnlyRootFilesystem: true", b"readOnlyRootFileSystem: true"), (b"periodSeconds: 5", b"periodSeconds: soon")):
        assert good in text
        assert validate(text.replace(good, bad), VERSIONS[1]).returncode != 0, bad


def test_the_pod_runs_as_nobody_in_particular_with_nothing_to_write_but_its_volume():
    for overlay in OVERLAYS:
        spec, box = pod(overlay), container(overlay)
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert box["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                          "capabilities": {"drop": ["ALL"]}}
        assert [mount["name"] for mount in box["volumeMounts"] if not mount.get("readOnly")] == ["data"]


def test_overlays_differ_in_number_and_size_and_select_the_same_pods():
    for overlay, count in (("one", 1), ("three", 3)):
        found = objects(overlay)
        stateful = found["StatefulSet/tidegate"]["spec"]
        assert stateful["replicas"] == count
        labels = stateful["template"]["metadata"]["labels"]
        selectors = [stateful["selector"]["matchLabels"], found["Service/tidegate"]["spec"]["selector"],
                     found["Service/tidegate-admin"]["spec"]["selector"],
                     found["PodDisruptionBudget/tidegate"]["spec"]["selector"]["matchLabels"],
                     found["NetworkPolicy/tidegate"]["spec"]["podSelector"]["matchLabels"],
                     *(spread["labelSelector"]["matchLabels"] for spread in stateful["template"]["spec"]["topologySpreadConstraints"])]
        for selector in selectors:
            assert selector and selector.items() <= labels.items(), (selector, labels)
        assert stateful["serviceName"] == "tidegate-admin"
        monitor = found["ServiceMonitor/tidegate"]["spec"]
        service = found["Service/tidegate-admin"]
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert service["metadata"]["labels"][monitor["jobLabel"]] == "tidegate", "the job that rules ask for"
        assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_probes_and_hook_are_commands_that_the_program_knows():
    box = container("three")
    commands = [box[name]["exec"]["command"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    commands.append(box["lifecycle"]["preStop"]["exec"]["command"])
    nobody = f"127.0.0.1:{lib.free_port()}"
    for command in commands:
        assert command[0] == "/usr/bin/tidegate"
        result = run(lib.PROGRAM, *command[1:], "--admin", nobody, check=False)
        assert result.returncode in (1, 69), f"{command}: {result.returncode} {result.stderr.decode()}"
    assert "--live" in commands[0] + commands[1] and "--ready" in commands[2]
    start = box["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 1800, "a large journal needs its time"


def test_the_hook_of_a_leaving_gateway_has_its_time():
    timeout = container("one")["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert timeout.endswith("m") and int(timeout[:-1]) * 60 + 60 <= pod("one")["terminationGracePeriodSeconds"]


def certificate(folder):
    os.makedirs(folder)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=tidegate-admin",
        "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt")
    os.chmod(f"{folder}/tls.key", 0o600)


def test_the_configuration_is_valid_with_the_secrets_that_are_mounted():
    if not shutil.which("openssl"):
        raise Skip("no openssl: deploy/setup --tests installs it")
    mounts = [mount["mountPath"] for mount in container("one")["volumeMounts"]]
    for overlay in OVERLAYS:
        maps = [item for name, item in objects(overlay).items() if name.startswith("ConfigMap/tidegate-config")]
        text = maps[0]["data"]["tidegate.yaml"]
        paths = [word.strip(",}") for word in text.split() if word.startswith("/secrets/")]
        assert paths
        for path in paths:
            assert os.path.dirname(path) in mounts, f"{path} is not mounted"
        with tempfile.TemporaryDirectory() as folder:
            for name in ("tls", "admin-tls"):
                certificate(f"{folder}/secrets/{name}")
            os.makedirs(f"{folder}/secrets/admin-token")
            with open(f"{folder}/secrets/admin-token/tokens", "w", encoding="ascii") as file:
                file.write(f"operator operate {'0123456789abcdef' * 4}\nprometheus metrics {'fedcba9876543210' * 4}\n")
            os.chmod(file.name, 0o600)
            run(lib.PROGRAM, "vendor", "add", "--data", f"{folder}/secrets", "--generate", "aqua")  # as the README does
            config = os.path.join(folder, "tidegate.yaml")
            with open(config, "w", encoding="utf-8") as file:
                file.write(text.replace("/secrets/", f"{folder}/secrets/"))
            run(lib.PROGRAM, "validate", "--config", config)


def test_the_rules_are_those_of_prometheus():
    printed = run(os.path.join(FOLDER, "make-rules"), "--print").stdout
    with open(os.path.join(FOLDER, "base/rules.yaml"), "rb") as file:
        assert file.read() == printed, "deploy/prometheus changed: run deploy/kubernetes/make-rules"
    code = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    with open(os.path.join(lib.ROOT, "deploy/prometheus/tidegate.rules.yaml"), "rb") as file:
        theirs = json.loads(run(lib.READER, "-c", code, stdin=file.read()).stdout)
    assert objects("one")["PrometheusRule/tidegate"]["spec"] == theirs


if __name__ == "__main__":
    lib.run(dict(globals()))
