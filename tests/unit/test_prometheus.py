"""The scrape configuration and the alert rules, by Prometheus' own judge."""

import re
import subprocess
from pathlib import Path

import yaml

from deploy.local.supervisor import PORTS, SERVICES

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES = PROMETHEUS / "bakvakt.rules.yml"


def promtool(*arguments: str | Path) -> None:
    result = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_scrape_configuration_is_valid() -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_targets_are_what_up_starts_under_the_names_that_the_rules_use() -> None:
    groups = yaml.safe_load((PROMETHEUS / "targets.yml").read_text(encoding="utf-8"))
    assert {group["labels"]["job"]: group["targets"] for group in groups} == {
        f"bakvakt-{service}": [f"127.0.0.1:{PORTS[service]}"] for service in SERVICES
    }


def test_the_rules_are_valid_and_fire_when_they_must() -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", "bakvakt.rules.test.yml")


def test_each_rule_is_tested_and_has_its_runbook() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
    tested = (PROMETHEUS / "bakvakt.rules.test.yml").read_text(encoding="utf-8")
    runbook = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    assert alerts
    for alert in alerts:
        assert f"alertname: {alert}\n        exp_alerts:\n          - " in tested, alert
        assert f"## {alert}\n" in runbook, alert


def test_the_rules_use_metrics_that_exist() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("shared", "services")
        for path in (ROOT / folder).rglob("metrics.py")
    )
    used = set(re.findall(r"\bbakvakt_\w+", RULES.read_text(encoding="utf-8")))
    declared = set(re.findall(r'"(bakvakt_\w+)"', text + _shared_metrics()))
    of_histograms = {f"{name}_{part}" for name in declared for part in ("bucket", "sum", "count")}
    assert used <= declared | of_histograms


def _shared_metrics() -> str:
    return (ROOT / "shared/metrics.py").read_text(encoding="utf-8")
