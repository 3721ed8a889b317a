"""Whether every metric and label that the rules and the dashboard name is there; see .ci/check-metrics."""

import json
import re
import sys

import yaml

METRIC = re.compile(r"\b(?:replog|process)_[a-z0-9_]+")
SERIES = re.compile(r"([a-z_]+)(?:\{(.*)\})? \S+")
LABEL = re.compile(r'([a-z_]+)=~?"([^"]*)"')
# What Prometheus and Grafana add.
ADDED = {"instance", "job"}


def expressions(path):
    """What is asked, and by what."""
    with open(path) as file:
        if path.endswith(".yml"):
            for group in yaml.safe_load(file)["groups"]:
                for rule in group["rules"]:
                    yield rule["alert"], rule["expr"]
            return
        for panel in json.load(file)["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]


def scraped(paths):
    """The labels of each metric, with their values."""
    metrics = {}
    for path in paths:
        for line in open(path):
            if not line.startswith("#"):
                name, labels = SERIES.match(line).groups()
                known = metrics.setdefault(name, {})
                for label, value in LABEL.findall(labels or ""):
                    known.setdefault(label, set()).add(value)
    return metrics


def selectors(expression):
    """Each metric that an expression names, with what it asks of its labels."""
    for found in METRIC.finditer(expression):
        rest = expression[found.end():]
        asked = rest[1:rest.index("}")] if rest.startswith("{") else ""
        yield found.group(), LABEL.findall(asked)


def main(rules, dashboard, *pages):
    metrics, wrong, names = scraped(pages), [], set()
    for path in (rules, dashboard):
        for who, expression in expressions(path):
            for name, asked in selectors(expression):
                names.add(name)
                if name not in metrics:
                    wrong.append(f"{path}: {who}: there is no metric {name}")
                    continue
                for label, value in asked:
                    if label in ADDED:
                        continue
                    values = metrics[name].get(label, set())
                    if not any(re.fullmatch(value, known) for known in values):
                        wrong.append(f"{path}: {who}: {name} never has {label}={value!r}")
    print("\n".join(wrong) if wrong else f"{len(names)} metrics are named, and all of them are there")
    if not names:
        wrong.append("no metric is named")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
