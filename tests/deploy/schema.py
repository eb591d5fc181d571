"""The parts of the RayCluster and RayJob resources that the manifests may use, as KubeRay documents them.

Every object is closed: a misspelt or misplaced field fails, as the API server would drop it silently.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}


def closed(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def mapping(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


RESOURCES = closed({"requests": mapping(QUANTITY), "limits": mapping(QUANTITY)})
PORT = closed({"containerPort": {"type": "integer", "minimum": 1, "maximum": 65535}, "name": TEXT})
MOUNT = closed({"name": TEXT, "mountPath": {"type": "string", "pattern": "^/"}}, {"readOnly": FLAG})
ENV = closed({"name": TEXT}, {"value": {"type": "string"}, "valueFrom": {"type": "object"}})
COMMAND = closed({"command": many(TEXT)})
LIFECYCLE = closed({}, {"preStop": closed({"exec": COMMAND})})
CONTAINER = closed(
    {"name": TEXT, "image": TEXT, "resources": RESOURCES},
    {"ports": many(PORT), "volumeMounts": many(MOUNT), "env": many(ENV), "lifecycle": LIFECYCLE},
)
VOLUME = closed({"name": TEXT, "persistentVolumeClaim": closed({"claimName": TEXT}, {"readOnly": FLAG})})
POD = closed(
    {
        "spec": closed(
            {"containers": many(CONTAINER)},
            {"volumes": many(VOLUME), "terminationGracePeriodSeconds": COUNT},
        )
    }
)
START = mapping({"type": "string"})
"""`ray start` parameters are text, numbers too: KubeRay pastes them into a command line."""

HEAD = closed({"rayStartParams": START, "template": POD}, {"serviceType": TEXT})
WORKERS = closed(
    {"groupName": TEXT, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT, "template": POD},
    {"rayStartParams": START, "numOfHosts": COUNT},
)
AUTH = closed({"mode": {"enum": ["disabled", "token"]}})
CLUSTER_SPEC = closed(
    {"rayVersion": TEXT, "headGroupSpec": HEAD, "workerGroupSpecs": many(WORKERS)},
    {"authOptions": AUTH, "enableInTreeAutoscaling": FLAG, "autoscalerOptions": {"type": "object"}},
)
JOB_SPEC = closed(
    {"entrypoint": TEXT, "rayClusterSpec": CLUSTER_SPEC},
    {
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "shutdownAfterJobFinishes": FLAG,
        "ttlSecondsAfterFinished": COUNT,
        "backoffLimit": COUNT,
        "activeDeadlineSeconds": COUNT,
        "runtimeEnvYAML": TEXT,
        "suspend": FLAG,
    },
)
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
METADATA = closed({"name": NAME}, {"namespace": TEXT})


def resource(kind: str, spec: Schema) -> Schema:
    """A whole manifest."""
    api = {"const": "ray.io/v1"}
    return closed({"apiVersion": api, "kind": {"const": kind}, "metadata": METADATA, "spec": spec})


SCHEMAS = {"RayCluster": resource("RayCluster", CLUSTER_SPEC), "RayJob": resource("RayJob", JOB_SPEC)}
