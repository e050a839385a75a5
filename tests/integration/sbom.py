#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/sbom: what ldd finds is in it, with the version that dpkg knows and a licence; the same twice."""
import hashlib
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402

SBOM = os.path.join(lib.ROOT, "deploy/sbom")
EXTRA = ("ca-certificates", "tzdata")


def bill(**environment):
    made = subprocess.run([SBOM, "--packages", ",".join(EXTRA), lib.PROGRAM], capture_output=True, text=True,
                          timeout=60, env=dict(os.environ, **environment), check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


def debian(field, name):
    return subprocess.run(["dpkg-query", "-W", "-f", "${%s}" % field, name], capture_output=True, text=True,
                          check=True).stdout


def test_every_shared_library_is_in_it_with_checksum_package_version_and_licence():
    told = json.loads(bill())
    files = {one["fileName"]: one for one in told["files"]}
    packages = {one["SPDXID"]: one for one in told["packages"]}
    owner = {one["relatedSpdxElement"]: packages[one["spdxElementId"]] for one in told["relationships"]
             if one["relationshipType"] == "CONTAINS"}
    linked = subprocess.run(["ldd", lib.PROGRAM], capture_output=True, text=True, check=True).stdout
    paths = {os.path.realpath(path) for path in re.findall(r"(/\S+) \(0x", linked)}
    assert len(paths) > 20, linked
    for path in paths:
        file = files["." + path]
        with open(path, "rb") as content:
            assert {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content.read()).hexdigest()} \
                in file["checksums"], path
        package = owner[file["SPDXID"]]
        assert package["versionInfo"] == debian("Version", package["name"]), package
        assert debian("source:Package", package["name"]) in package["sourceInfo"], package
    unread = [one["name"] for one in told["packages"] if one["licenseDeclared"] == "NOASSERTION"]
    assert len(unread) <= len(packages) // 10, f"nobody knows the licence of {unread}"
    assert {f"./usr/bin/tidegate"} | {"." + path for path in paths} == set(files)


def test_what_travels_with_it_and_what_was_compiled_in_is_told():
    told = json.loads(bill())
    kinds = {one["relatedSpdxElement"]: one["relationshipType"] for one in told["relationships"]
             if one["spdxElementId"] == "SPDXRef-Package-tidegate"}
    for name in EXTRA:
        assert kinds[f"SPDXRef-Package-{name}"] == "DEPENDS_ON", kinds
    assert kinds["SPDXRef-Package-uthash-dev"] == "STATIC_LINK", kinds


def test_the_document_is_whole_by_spdx_2_3_and_the_same_twice():
    first = bill(SOURCE_DATE_EPOCH="1700000000")
    assert bill(SOURCE_DATE_EPOCH="1700000000") == first
    told = json.loads(first)
    assert told["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    # SPDX 2.3, clauses 6 to 8 and 11: what is mandatory, and that every reference has its element.
    for field in ("spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"):
        assert told[field], field
    elements = [told, *told["packages"], *told["files"]]
    identities = [one["SPDXID"] for one in elements]
    assert len(identities) == len(set(identities))
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one) for one in identities), identities
    for one in told["packages"]:
        assert one["name"] and one["downloadLocation"] and one["versionInfo"], one
        assert one["filesAnalyzed"] == ("packageVerificationCode" in one), one
        for reference in one.get("externalRefs", []):
            assert re.fullmatch(r"pkg:deb/debian/[a-z0-9.+-]+@[^ ?]+\?arch=\w+&distro=[\w.-]+",
                                reference["referenceLocator"]), reference
    for one in told["files"]:
        assert "SHA1" in {checksum["algorithm"] for checksum in one["checksums"]}, one
    for one in told["relationships"]:
        assert {one["spdxElementId"], one["relatedSpdxElement"]} <= set(identities), one


def test_what_is_no_program_is_refused():
    made = subprocess.run([SBOM, os.path.join(lib.ROOT, "README.md")], capture_output=True, text=True, timeout=60,
                          check=False)
    assert made.returncode == 1 and "is not a program" in made.stderr, made.stderr


if __name__ == "__main__":
    lib.run(globals())
