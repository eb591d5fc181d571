"""The KubeRay manifests and the Dockerfile: of the right shape, and true to the rest of the repository."""

from __future__ import annotations

import copy
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from actors.engines.comfyui.core.requirements import MODEL_FOLDERS
from farm.cli.main import app
from farm.state.job_state import EXIT_CODES
from tests.deploy.schema import SCHEMAS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "cluster" / "deploy"
MANIFESTS = {"rayjob.yaml": "RayJob", "raycluster.yaml": "RayCluster"}


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / name).read_text())


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec = manifest["spec"]
    return spec["rayClusterSpec"] if manifest["kind"] == "RayJob" else spec


def pods(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cluster = cluster_of(manifest)
    yield cluster["headGroupSpec"]["template"]["spec"]
    yield from (group["template"]["spec"] for group in cluster["workerGroupSpecs"])


@pytest.fixture(params=MANIFESTS)
def manifest(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(request.param)


def test_shape(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, SCHEMAS[manifest["kind"]], cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "entryPoint"), "farm"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-gpus"), 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "replicas"), "4"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "volumeMount"), []),
    ],
)
def test_the_shape_is_strict(path: tuple[Any, ...], value: Any) -> None:
    broken = copy.deepcopy(load("rayjob.yaml"))
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMAS["RayJob"], cls=jsonschema.Draft202012Validator)


def test_every_mount_has_its_volume(manifest: dict[str, Any]) -> None:
    for pod in pods(manifest):
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        mounted = {mount["name"] for one in pod["containers"] for mount in one.get("volumeMounts", ())}
        assert mounted == volumes


def test_all_pods_see_the_same_storage_and_image(manifest: dict[str, Any]) -> None:
    seen = {
        (one["image"], tuple((mount["name"], mount["mountPath"]) for mount in one["volumeMounts"]))
        for pod in pods(manifest)
        for one in pod["containers"]
    }
    assert len(seen) == 1


def test_workers_ask_for_one_gpu_and_get_what_they_ask(manifest: dict[str, Any]) -> None:
    for group in cluster_of(manifest)["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert resources["limits"]["nvidia.com/gpu"] == "1"
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert cluster_of(manifest)["headGroupSpec"]["rayStartParams"]["num-gpus"] == "0"


def test_clusters_ask_for_a_token(manifest: dict[str, Any]) -> None:
    assert cluster_of(manifest)["authOptions"] == {"mode": "token"}


def test_one_ray_version_everywhere(manifest: dict[str, Any]) -> None:
    (pinned,) = re.findall(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert cluster_of(manifest)["rayVersion"] == pinned
    assert f"FROM rayproject/ray:{pinned}-py311-gpu" in (DEPLOY / "Dockerfile").read_text()


@dataclass
class Stood:
    """What the entrypoint did with a stand-in for `farm`."""

    code: int
    command: list[str]
    log: str


def run_entrypoint(folder: Path, ending: str) -> Stood:
    """Runs the RayJob's entrypoint as KubeRay and Ray do, with a `farm` that ends with the shell's `ending`.

    KubeRay pastes it into the submitter's bash, `ray job submit` quotes the words that arrive, and Ray's job
    server hands them to a shell.
    """
    farm, words = folder / "farm", folder / "words"
    farm.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {words}\n{ending}\n")
    farm.chmod(0o755)
    pasted = f"printf '%s\\0' {load('rayjob.yaml')['spec']['entrypoint'].strip()} ;"
    submitted = subprocess.run(["/bin/bash", "-ec", pasted], capture_output=True, text=True, check=True)
    line = shlex.join(submitted.stdout.removesuffix("\0").split("\0"))
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(line, shell=True, env=env, capture_output=True, text=True, check=False)
    return Stood(done.returncode, words.read_text().splitlines(), done.stdout)


@pytest.mark.parametrize("code", sorted({0, *EXIT_CODES.values(), 2, 5}))
def test_what_the_farm_ends_with_is_not_started_again(tmp_path: Path, code: int) -> None:
    """KubeRay counts every other exit code as a failure, and `backoffLimit` runs the command again."""
    stood = run_entrypoint(tmp_path, f"exit {code}")
    assert stood.code == 0
    assert f"exit code {code}" in stood.log


@pytest.mark.parametrize("ending", ["exit 1", "kill -KILL $$", "kill -SEGV $$"])
def test_a_driver_that_died_is(tmp_path: Path, ending: str) -> None:
    assert load("rayjob.yaml")["spec"]["backoffLimit"] > 0
    assert run_entrypoint(tmp_path, ending).code not in (0, *EXIT_CODES.values())


def test_the_entrypoint_is_a_command_line_that_parses(tmp_path: Path) -> None:
    manifest = load("rayjob.yaml")
    command, *words = run_entrypoint(tmp_path, "exit 0").command
    group = typer.main.get_command(app)
    verb = group.commands[command]  # type: ignore[attr-defined]
    context = verb.make_context(f"farm {command}", words)
    mounts = {mount["mountPath"] for pod in pods(manifest) for mount in pod["containers"][0]["volumeMounts"]}
    for path in (context.params["spec"], context.params["runs"]):
        assert any(path.startswith(f"{mount}/") for mount in mounts)


def test_the_image_copies_what_exists_and_all_that_is_imported() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = re.findall(r"^COPY \S+ (.*) \S+$", text, flags=re.MULTILINE)
    copied = [word for line in lines for word in line.split()]
    assert all((ROOT / path).exists() for path in copied)
    assert {"farm", "actors", "jobs", "cluster", "pyproject.toml", "constraints.txt"} <= set(copied)


def test_the_image_can_run_every_engine() -> None:
    """The extras are those of the package, and COMFYUI_PATH is where the checkout lies."""
    text = (DEPLOY / "Dockerfile").read_text()
    (extras,) = re.findall(r"'\.\[(.*)\]'", text)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"gpu", "ltx", "comfyui"} <= set(extras.split(",")) <= set(known)
    (home,) = re.findall(r"^WORKDIR (\S+)\nRUN git clone", text, flags=re.MULTILINE)
    assert f"ENV COMFYUI_PATH={home}/ComfyUI\n" in text
    assert f"-r {home}/ComfyUI/requirements.txt" in text


def test_comfyui_looks_below_the_mounted_models(manifest: dict[str, Any]) -> None:
    (paths,) = yaml.safe_load((DEPLOY / "extra_model_paths.yaml").read_text()).values()
    mounts = {mount["mountPath"] for pod in pods(manifest) for mount in pod["containers"][0]["volumeMounts"]}
    assert paths.pop("base_path") in mounts
    assert set(paths) == {folder for folders in MODEL_FOLDERS.values() for folder in folders}


def test_the_images_name_is_the_packages_version(manifest: dict[str, Any]) -> None:
    import farm

    images = {one["image"] for pod in pods(manifest) for one in pod["containers"]}
    assert images == {f"ltx-farm:{farm.__version__}"}
