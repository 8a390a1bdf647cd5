"""The alert rules, the dashboard and their documentation, by Prometheus's own promtool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orders.operate.metrics import METRICS, PREFIX

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RULES = PROMETHEUS / "order-expiry.rules.yml"

OF_HISTOGRAMS = ("bucket", "count", "sum")
SERVED = {metric.full_name for metric in METRICS} | {
    f"{metric.full_name}_{part}" for metric in METRICS if metric.kind == "histogram" for part in OF_HISTOGRAMS
}
"""The names that PromQL finds."""


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        assert not os.environ.get("CI"), "promtool is missing"
        pytest.skip("promtool is not installed")
    return subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False)


def names(expression: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}\w+", expression))


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((GRAFANA / "order-expiry.json").read_text())
    return content


def expressions() -> list[str]:
    """Return what the dashboard asks Prometheus, as it does when all jobs are chosen."""
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [query.replace("$job", ".+").replace("$__rate_interval", "1m") for query in asked]


def test_the_configuration_is_valid() -> None:
    checked = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert checked.returncode == 0, checked.stderr
    assert "16 rules found" in checked.stdout


def test_each_alert_is_raised_when_it_must_be_and_not_before() -> None:
    checked = promtool("test", "rules", PROMETHEUS / "order-expiry.test.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_is_tested_and_that_test_can_fail(tmp_path: Path) -> None:
    tests = yaml.safe_load((PROMETHEUS / "order-expiry.test.yml").read_text())["tests"]
    raised = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    silent = {case["alertname"] for case in tests[0]["alert_rule_test"]}
    assert raised == silent == {rule["alert"] for rule in rules()}
    (tmp_path / RULES.name).write_text(RULES.read_text().replace("> 300", "> 3000"))
    shutil.copy(PROMETHEUS / "order-expiry.test.yml", tmp_path)
    assert promtool("test", "rules", tmp_path / "order-expiry.test.yml").returncode != 0


def rules() -> list[dict[str, Any]]:
    content = yaml.safe_load(RULES.read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def test_rules_and_panels_ask_for_what_is_served_only() -> None:
    asked = [*(rule["expr"] for rule in rules()), *expressions()]
    assert set().union(*map(names, asked)) <= SERVED


def test_all_that_is_served_is_on_the_dashboard() -> None:
    shown = set().union(*map(names, expressions()))
    families = {metric for metric in METRICS if not any(name.startswith(metric.full_name) for name in shown)}
    assert families == set()


def test_panels_ask_what_prometheus_understands(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(expressions())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    checked = promtool("check", "rules", tmp_path / "panels.yml")
    assert checked.returncode == 0, checked.stderr


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_the_guide_says_what_to_do_about_each_alert() -> None:
    guide = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    assert re.findall(r"^### (OrderExpiry\w+)", guide, re.MULTILINE) == [rule["alert"] for rule in rules()]


def test_the_reference_names_all_that_is_served() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = [
        f"| `{info.full_name}{f'{{{info.label}}}' if info.label else ''}` | {info.kind} | {info.description} |"
        for info in METRICS
    ]
    assert [line for line in page.splitlines() if line.startswith(f"| `{PREFIX}")] == rows
