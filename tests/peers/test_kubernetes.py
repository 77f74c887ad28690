"""The manifests for Kubernetes, against its own schemas and what the two roles need."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.peers.tools import promtool
from verify_service.cli import commands

TOP = Path(__file__).parents[2]
FOLDER = TOP / "docs" / "deploy" / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
OBJECTS: list[dict[str, Any]] = [
    each for name in KUSTOMIZATION["resources"] for each in yaml.safe_load_all((FOLDER / name).read_text("utf-8"))
]
ROLES = {each["metadata"]["name"]: each["spec"] for each in OBJECTS if each["kind"] == "Deployment"}
every_role = pytest.mark.parametrize("name", ROLES)


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_every_object_is_what_kubernetes_takes(version: str) -> None:
    """No field is unknown, none is missing, none has another type."""
    assert len(OBJECTS) == 7
    for each in OBJECTS:
        kubernetes_validate.validate(each, version, strict=True)


@every_role
def test_a_role_can_do_no_more_than_it_must(name: str) -> None:
    """The image's own user, nothing to write to but /tmp, no privilege, no token of the cluster's."""
    pod = ROLES[name]["template"]["spec"]
    (container,) = pod["containers"]
    assert f"\nUSER {pod['securityContext']['runAsUser']}\n" in (TOP / "Dockerfile").read_text("utf-8")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]


@every_role
def test_a_role_is_started_by_its_command_and_asked_at_its_port(name: str) -> None:
    """The options are the command's own, and every probe, service and budget is about these pods."""
    spec = ROLES[name]
    (container,) = spec["template"]["spec"]["containers"]
    role, *options = container["args"]
    taken = commands.commands[role].make_context(role, list(options)).params
    port = taken["metrics_port"] if role == "dispatch" else taken["port"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    probes = {key: probe["httpGet"] for key, probe in container.items() if key.endswith("Probe")}
    assert {each["port"] for each in probes.values()} == {"http"}
    paths = (
        {"livenessProbe": "/healthz", "readinessProbe": "/readyz"} if role == "web" else {"readinessProbe": "/metrics"}
    )
    assert {key: each["path"] for key, each in probes.items()} == paths
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"] == {"matchLabels": labels}
    about = {each["kind"]: each["spec"] for each in OBJECTS if each["metadata"]["name"] in (name, f"{name}-pods")}
    assert about["Service"]["selector"] == labels
    assert about["PodDisruptionBudget"] == {"minAvailable": 1, "selector": {"matchLabels": labels}}
    assert spec["replicas"] == 2


def test_the_files_that_the_reader_brings_reach_both_roles() -> None:
    """What kustomize makes of them has the names under which the roles ask for them."""
    (secret,), (config,) = KUSTOMIZATION["secretGenerator"], KUSTOMIZATION["configMapGenerator"]
    assert (secret["envs"], config["files"]) == (["verify.env"], ["verify.toml"])
    for spec in ROLES.values():
        pod = spec["template"]["spec"]
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": secret["name"]}}]
        assert pod["containers"][0]["env"] == [{"name": "VERIFY_CONFIG", "value": "/etc/verify/verify.toml"}]
        assert pod["volumes"][0]["configMap"] == {"name": config["name"]}
        assert pod["containers"][0]["image"] == KUSTOMIZATION["images"][0]["name"]


def test_prometheus_takes_the_printed_jobs_and_they_name_the_services(tmp_path: Path) -> None:
    """As `promtool` says, with a key in a file of this machine."""
    printed = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)[0]
    (tmp_path / "verify.key").write_text("a-key")
    (tmp_path / "prometheus.yml").write_text(printed.replace("/etc/prometheus/", f"{tmp_path}/"))
    promtool("check", "config", tmp_path / "prometheus.yml")
    places = {
        (job["job_name"], place["names"][0], place["port"])
        for job in yaml.safe_load(printed)["scrape_configs"]
        for place in job["dns_sd_configs"]
    }
    services = {each["metadata"]["name"]: each["spec"] for each in OBJECTS if each["kind"] == "Service"}
    wanted = {
        (name, f"{name}-pods.{KUSTOMIZATION['namespace']}.svc", services[f"{name}-pods"]["ports"][0]["port"])
        for name in ROLES
    }
    assert places == wanted
