"""The Kubernetes manifests, as far as they can be checked without a cluster."""

from __future__ import annotations

import math
from typing import Any

import kubernetes_validate
import pytest
import yaml

from orders.config.settings import Settings
from tests.deployment.manifests import KUBERNETES, Manifest, compose, containers, literals, pods, resources

OTHERS = {"keda.sh/v1alpha1"}
"""What Kubernetes itself has no schema of."""

VERSIONS = [kubernetes_validate.latest_version(), "1.30"]

NAMES = ["beat", "flower", "metrics", "sweeper", "worker"]


def _of(kind: str) -> dict[str, Any]:
    return {str(each["metadata"]["name"]): each for each in resources() if each["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_the_manifests(version: str) -> None:
    ours = [each for each in resources() if each["apiVersion"] not in OTHERS]
    assert len(ours) == 12
    for each in ours:
        kubernetes_validate.validate(each, version, strict=True)


def test_that_check_can_fail() -> None:
    [wrong, *_] = [each for each in resources() if each["kind"] == "Deployment"]
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_every_manifest_is_applied() -> None:
    told = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert files == {*told["resources"], *told["configurations"], "kustomization.yaml"}
    assert told["secretGenerator"][0]["envs"] == ["secret.env"]
    assert (KUBERNETES / "secret.env.example").exists()
    assert not (KUBERNETES / "secret.env").exists()  # whatever is in one is no part of the repository


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_has_no_rights_that_it_does_not_need(name: str) -> None:
    pod, container = pods()[name], containers()[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_has_bounds_and_a_probe(name: str) -> None:
    container = containers()[name]
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert set(container["resources"]["limits"]) == {"memory"}  # a limit of CPU is lateness
    assert "livenessProbe" in container


def test_the_settings_are_settings() -> None:
    given = {name.removeprefix("ORDERS_"): value for name, value in literals().items()}
    assert Settings.of(given).heartbeat_file == "/tmp/heartbeat"
    mounts = {mount["mountPath"] for container in containers().values() for mount in container["volumeMounts"]}
    assert mounts == {"/tmp"}  # the only place that can be written to


def test_who_stops_has_the_time_of_a_warm_shutdown() -> None:
    assert pods()["worker"]["terminationGracePeriodSeconds"] == 30
    assert pods()["sweeper"]["terminationGracePeriodSeconds"] == 30
    assert compose()["worker"]["stop_grace_period"] == "30s"


def test_one_beat_and_a_sweeper_that_is_left_when_a_node_goes() -> None:
    deployments = _of("Deployment")
    assert deployments["beat"]["spec"]["replicas"] == 1
    assert deployments["beat"]["spec"]["strategy"] == {"type": "Recreate"}
    assert deployments["sweeper"]["spec"]["replicas"] == 2
    assert "replicas" not in deployments["worker"]["spec"]  # or each deploy would undo what KEDA did
    assert set(_of("PodDisruptionBudget")) == {"worker", "sweeper"}


def test_workers_follow_the_list_that_they_take_from() -> None:
    scaled = _of("ScaledObject")["worker"]["spec"]
    [trigger] = scaled["triggers"]
    assert scaled["scaleTargetRef"] == {"name": "worker"}
    queue = trigger["metadata"]["listName"]
    assert f"--queues={queue}" in containers()["worker"]["command"]
    # A full queue asks for as many workers as there may be, and no more could ever be asked for.
    most = math.ceil(Settings().max_backlog / int(trigger["metadata"]["listLength"]))
    assert scaled["maxReplicaCount"] == most
    assert scaled["minReplicaCount"] < most


def test_nobody_may_call_in_but_for_metrics() -> None:
    policies = _of("NetworkPolicy")
    assert policies["order-expiry"]["spec"]["ingress"] == []
    assert policies["order-expiry"]["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "order-expiry"}
    [allowed] = policies["metrics"]["spec"]["ingress"]
    assert allowed["ports"] == [{"port": 9540, "protocol": "TCP"}]
    assert all(each["spec"].get("type", "ClusterIP") == "ClusterIP" for each in _of("Service").values())
    labels: Manifest = _of("Deployment")["worker"]["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "order-expiry"
