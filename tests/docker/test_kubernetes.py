"""The Kubernetes manifests: right by Kubernetes' own schemas, and by what the server is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from folder import DOCKER, UID, document, documents, open_paths, pinned, settings_of

from server.core.settings import KEY_PATTERN, Settings

VERSIONS = ["1.28", "1.32", "1.36"]
KUSTOMIZATION = document("kubernetes/kustomization.yaml")
RESOURCES = [one for path in KUSTOMIZATION["resources"] for one in documents(f"kubernetes/{path}")]


def resource(kind: str, name: str = "vidserve") -> dict[str, Any]:
    return next(one for one in RESOURCES if (one["kind"], one["metadata"]["name"]) == (kind, name))


POD = resource("StatefulSet")["spec"]["template"]
SERVER = POD["spec"]["containers"][0]
VOLUMES = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
CLAIMS = {claim["metadata"]["name"]: claim for claim in resource("StatefulSet")["spec"]["volumeClaimTemplates"]}
MOUNTS = {mount["mountPath"]: mount["name"] for mount in SERVER["volumeMounts"]}


def variables() -> dict[str, str]:
    return {one["name"]: one["value"] for one in SERVER["env"]}


def fits(labels: dict[str, str], selector: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", RESOURCES, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_every_resource_of_kubernetes_is_right_by_its_schema(one: dict[str, Any], version: str) -> None:
    if one["kind"] == "ServiceMonitor":
        assert one["apiVersion"] == "monitoring.coreos.com/v1"
    else:
        kubernetes_validate.validate(one, version, strict=True)


def test_every_file_of_the_folder_is_applied() -> None:
    files = {path.name for path in (DOCKER / "kubernetes").iterdir()} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files


def test_images_get_a_pinned_tag() -> None:
    (image,) = KUSTOMIZATION["images"]
    assert SERVER["image"].split(":")[0] == image["name"]
    assert pinned(f"{image['newName']}:{image['newTag']}")


def test_probes_ask_for_what_is_answered_without_a_key(tmp_path: Path) -> None:
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert SERVER[probe]["httpGet"]["path"] in open_paths(tmp_path)
        assert SERVER[probe]["httpGet"]["port"] == "http"
    assert SERVER["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert SERVER["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_its_variables_are_settings_and_its_key_a_secret(tmp_path: Path) -> None:
    secret = resource("Secret", "vidserve-key")
    path = next(path for path, name in MOUNTS.items() if name == "key")
    assert VOLUMES["key"]["secret"]["secretName"] == secret["metadata"]["name"]
    secrets = {f"{path}/{name}" for name in secret["stringData"]}
    settings = settings_of(variables(), tmp_path, secrets=secrets)
    assert settings.admin_key is not None
    assert settings.engine.require_provider is True


def test_the_key_that_stands_in_the_repository_is_refused() -> None:
    (key,) = resource("Secret", "vidserve-key")["stringData"].values()
    assert not KEY_PATTERN.fullmatch(key)


def test_ports_are_the_servers() -> None:
    (port,) = SERVER["ports"]
    assert port == {"name": "http", "containerPort": Settings().port}
    for service in (one for one in RESOURCES if one["kind"] == "Service"):
        assert service["spec"]["ports"] == [{"name": "http", "port": Settings().port, "targetPort": "http"}]


def test_services_find_the_pods() -> None:
    labels = POD["metadata"]["labels"]
    for service in (one for one in RESOURCES if one["kind"] == "Service"):
        assert fits(labels, service["spec"]["selector"])
    assert resource("StatefulSet")["spec"]["selector"]["matchLabels"] == labels
    named = resource("StatefulSet")["spec"]["serviceName"]
    assert resource("Service", named)["spec"]["clusterIP"] == "None"


def test_prometheus_finds_each_replica_once_and_has_the_key() -> None:
    monitor = resource("ServiceMonitor")["spec"]
    services = [one for one in RESOURCES if one["kind"] == "Service"]
    selected = [one for one in services if fits(one["metadata"]["labels"], monitor["selector"]["matchLabels"])]
    assert len(selected) == 1
    (endpoint,) = monitor["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] in resource("Secret", credentials["name"])["stringData"]


def test_shared_memory_is_memory_and_the_data_stays() -> None:
    shm = VOLUMES[MOUNTS["/dev/shm"]]["emptyDir"]
    assert (shm["medium"], shm["sizeLimit"]) == ("Memory", "1Gi")
    assert MOUNTS["/data"] in CLAIMS
    assert set(MOUNTS.values()) == set(VOLUMES) | set(CLAIMS)


def test_a_replica_has_one_gpu() -> None:
    assert SERVER["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_server_has_no_rights() -> None:
    context = POD["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {UID}
    assert SERVER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False
