"""Whether the manifests of deploy/kubernetes fit together, and keep to what no schema asks for."""

import pathlib
import sys

import yaml

DIRECTORY = pathlib.Path("deploy/kubernetes")


def check_pod(template, say):
    """The rules for what runs."""
    pod = template["spec"]
    context = pod["securityContext"]
    say(pod["enableServiceLinks"] is False, "enableServiceLinks must be false")
    say(pod["terminationGracePeriodSeconds"] == 10, "terminationGracePeriodSeconds must be 10")
    say(context["runAsNonRoot"] and context["runAsUser"] == 65532, "must run as 65532")
    say(context["seccompProfile"] == {"type": "RuntimeDefault"}, "must have the default seccomp profile")
    for container in pod["containers"]:
        context, is_node = container["securityContext"], container["image"].startswith("replog-")
        say(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], "must not write, nor rise")
        say(context["capabilities"] == {"drop": ["ALL"]}, "must have no capabilities")
        say("memory" in container["resources"]["limits"], "must have a limit of memory")
        paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
        say(not is_node or paths == {"liveness": "/livez", "readiness": "/readyz"}, f"has other probes: {paths}")
        names = [port["name"] for port in container["ports"]]
        say(all(container[f"{kind}Probe"]["httpGet"]["port"] in names for kind in paths), "probes a port that is not there")


def main():
    """Says all that is wrong."""
    wrong = []
    files = {path.name: path for path in DIRECTORY.glob("*.yaml") if path.name != "kustomization.yaml"}
    listed = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    if set(files) != {name for name in listed if name.endswith(".yaml")}:
        wrong.append(f"kustomization.yaml lists {listed}, there are {sorted(files)}")
    resources = [r for path in files.values() for r in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    of = lambda kind: {r["metadata"]["name"]: r for r in resources if r["kind"] == kind}
    sets, services = of("StatefulSet"), of("Service")
    pods = {name: s["spec"]["template"] for name, s in sets.items()}

    def selected(selector):
        """The ports of the pods that have these labels."""
        chosen = [p for p in pods.values() if selector.items() <= p["metadata"]["labels"].items()]
        return [port["name"] for pod in chosen for port in pod["spec"]["containers"][0]["ports"]]

    for name, workload in sets.items():
        say = lambda holds, what, name=name: holds or wrong.append(f"{name}: {what}")
        check_pod(pods[name], say)
        say(services[workload["spec"]["serviceName"]]["spec"]["clusterIP"] == "None", "its service must be headless")
        say(selected(workload["spec"]["selector"]["matchLabels"]), "selects none of its own pods")
    for name, service in services.items():
        ports = selected(service["spec"]["selector"])
        if not all(port["targetPort"] in ports for port in service["spec"]["ports"]):
            wrong.append(f"service {name}: no such port in {ports}")
    if not services["master"]["spec"].get("publishNotReadyAddresses"):
        wrong.append("service master: a master that is not ready must be reachable")
    for name, rule in (of("PodDisruptionBudget") | of("NetworkPolicy")).items():
        selector = rule["spec"].get("selector") or rule["spec"]["podSelector"]
        ports = selected(selector["matchLabels"])
        for port in [p["port"] for way in rule["spec"].get("ingress", []) for p in way["ports"]]:
            if port not in ports:
                wrong.append(f"{rule['kind']} {name}: no port {port} in {ports}")
        if not ports:
            wrong.append(f"{rule['kind']} {name}: no pod has its labels")
    replicas = sets["secondary"]["spec"]["replicas"]
    expected = ",".join(f"secondary-{i}" for i in range(replicas))
    env = {v["name"]: v.get("value") for v in pods["master"]["spec"]["containers"][0]["env"]}
    if env["REPLOG_SECONDARIES"] != expected:
        wrong.append(f"the master expects {env['REPLOG_SECONDARIES']}, there are {expected}")
    print("\n".join(wrong) if wrong else f"manifests: {len(resources)} resources fit together")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
