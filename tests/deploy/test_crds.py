"""The manifests against KubeRay's own resource definitions: those of the release that is kept here without
its prose, and those of the checkout in KUBERAY_PATH, where that is set.

To renew: `python -m tests.deploy.test_crds CHECKOUT VERSION`.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.test_manifests import MANIFESTS, load

FOLDER = Path("ray-operator", "config", "crd", "bases")
KEPT = Path(__file__).with_name("kuberay.json.gz")
PROSE = ("description", "format")
Schema = dict[str, Any]


def strict(schema: Schema) -> Schema:
    """As the API server reads it: a field that no definition names is refused where it would be dropped."""
    closed = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes")}
    if "properties" in schema:
        closed["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        closed["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        closed["additionalProperties"] = strict(schema["additionalProperties"])
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed


@cache
def definition(root: Path, kind: str) -> Schema:
    """The schema of the stored version of `kind`, with the fields that every resource has."""
    crd = yaml.safe_load((root / FOLDER / f"ray.io_{kind.lower()}s.yaml").read_text())
    (version,) = [version for version in crd["spec"]["versions"] if version["storage"]]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    schema["properties"]["apiVersion"] = {"const": f"{crd['spec']['group']}/{version['name']}"}
    schema["properties"]["kind"] = {"const": kind}
    return schema


def unworded(schema: Any) -> Any:
    """The schema without its prose, a thirtieth of the size."""
    if isinstance(schema, list):
        return [unworded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    prose = {key for key in PROSE if isinstance(schema.get(key), str)}
    return {key: unworded(value) for key, value in schema.items() if key not in prose}


@pytest.fixture(params=["kept", "checkout"])
def definitions(request: pytest.FixtureRequest) -> dict[str, Schema]:
    """The resource definitions by kind."""
    if request.param == "kept":
        return json.loads(gzip.decompress(KEPT.read_bytes()))["definitions"]
    path = os.environ.get("KUBERAY_PATH")
    if not path:
        pytest.skip("KUBERAY_PATH names no KubeRay checkout")
    return {kind: definition(Path(path), kind) for kind in MANIFESTS.values()}


@pytest.mark.parametrize(("name", "kind"), MANIFESTS.items())
def test_the_manifest_is_what_kuberay_takes(definitions: dict[str, Schema], name: str, kind: str) -> None:
    jsonschema.Draft202012Validator(definitions[kind]).validate(load(name))


def test_a_misspelt_field_is_refused(definitions: dict[str, Schema]) -> None:
    broken = copy.deepcopy(load("rayjob.yaml"))
    broken["spec"]["entryPoint"] = broken["spec"].pop("entrypoint")
    with pytest.raises(jsonschema.ValidationError, match="entryPoint"):
        jsonschema.Draft202012Validator(definitions["RayJob"]).validate(broken)


def keep(checkout: Path, version: str) -> None:
    """Write what is kept here from a checkout of that version."""
    kinds = {kind: unworded(definition(checkout, kind)) for kind in MANIFESTS.values()}
    document = {"from": f"github.com/ray-project/kuberay {version}, Apache-2.0", "definitions": kinds}
    KEPT.write_bytes(gzip.compress(json.dumps(document, sort_keys=True).encode(), 9, mtime=0))


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2])
