"""The manifests against KubeRay's own resource definitions, from the checkout in KUBERAY_PATH."""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.test_manifests import MANIFESTS, load

FOLDER = Path("ray-operator", "config", "crd", "bases")
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


@pytest.fixture
def root() -> Path:
    path = os.environ.get("KUBERAY_PATH")
    if not path:
        pytest.skip("KUBERAY_PATH names no KubeRay checkout")
    return Path(path)


@pytest.mark.parametrize(("name", "kind"), MANIFESTS.items())
def test_the_manifest_is_what_kuberay_takes(root: Path, name: str, kind: str) -> None:
    jsonschema.validate(load(name), definition(root, kind), cls=jsonschema.Draft202012Validator)


def test_a_misspelt_field_is_refused(root: Path) -> None:
    broken = copy.deepcopy(load("rayjob.yaml"))
    broken["spec"]["entryPoint"] = broken["spec"].pop("entrypoint")
    with pytest.raises(jsonschema.ValidationError, match="entryPoint"):
        jsonschema.validate(broken, definition(root, "RayJob"), cls=jsonschema.Draft202012Validator)
