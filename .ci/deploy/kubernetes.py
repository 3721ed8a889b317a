"""Whether the manifests of deploy/kubernetes fit together, and keep to what no schema asks for.

    kubernetes.py [DIRECTORY]       where deploy/kubernetes and nats are, else here
"""

import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
DIRECTORY = ROOT / "deploy/kubernetes"
NATS = ROOT / "nats"
# What a user of the manifests makes; it is nobody else's.
SECRETS = "secrets/"


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


def generated(directory, kind):
    """What the generators of a kustomization make: its keys by name, and all files that they are made of."""
    keys, files = {}, []
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    for generator in kustomization.get(kind, []):
        pairs = [entry.partition("=") for entry in generator.get("files", [])]
        files += [path or key for key, _, path in pairs] + generator.get("envs", []) + generator.get("literals", [])
        keys[generator["name"]] = {key if path else pathlib.Path(key).name for key, _, path in pairs}
    return keys, files


def check_secrets(say):
    """Makes sure that nothing secret is in the repository, and says what the generators make: keys by name."""
    keys, files = generated(DIRECTORY, "secretGenerator")
    say(all(path.startswith(SECRETS) for path in files), f"a secret that is not below {SECRETS}: {files}")
    ignored = subprocess.run(["git", "check-ignore", "-q", f"deploy/kubernetes/{SECRETS}tokens"], check=False)
    say(ignored.returncode == 0, f"git would take {SECRETS}")
    for directory in (DIRECTORY, NATS):
        settings, files = generated(directory, "configMapGenerator")
        say(all((directory / path).is_file() for path in files), f"no such file in {directory}: {files}")
        keys |= settings
    return keys


def sources(volume):
    """The names of the Secrets and ConfigMaps that a volume is made of."""
    parts = volume["projected"]["sources"] if "projected" in volume else [volume]
    found = [part["secret"].get("secretName") or part["secret"].get("name") for part in parts if "secret" in part]
    return found + [part["configMap"]["name"] for part in parts if "configMap" in part]


def check_references(name, workload, keys, say):
    """Whether every Secret and ConfigMap, and every file of them, is one that is made."""
    pod = workload["spec"]["template"]["spec"]
    volumes = {}
    for volume in pod.get("volumes", []):
        known = [source for source in sources(volume) if source in keys]
        say(known == sources(volume), f"a volume of what nobody makes: {sources(volume)}")
        every = [key for source in known for key in keys[source]]
        volumes[volume["name"]] = set(every)
        say(len(every) == len(set(every)), f"a volume with two files of one name: {sorted(every)}")
    for container in pod["containers"]:
        files, claims = set(), {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for mount in container["volumeMounts"]:
            if mount["name"] in claims:
                continue
            say(mount.get("readOnly") is True, f"may write to {mount['mountPath']}")
            have = volumes.get(mount["name"], set())
            if "subPathExpr" in mount:
                say(mount["subPathExpr"] == "$(REPLOG_NODE_ID)", f"no such key: {mount['subPathExpr']}")
                wanted = {f"{name}-{i}" for i in range(workload["spec"]["replicas"])}
            else:
                wanted = {mount["subPath"]} if "subPath" in mount else set()
            say(wanted <= have, f"{sorted(wanted - have)} is in none of {sorted(have)}")
            files |= {mount["mountPath"]} if wanted else {f"{mount['mountPath']}/{key}" for key in have}
        env = {v["name"]: v.get("value") for v in container["env"]}
        for variable in ("NATS_NKEY", "REPLOG_TOKENS_FILE") if container["image"].startswith("replog-") else ():
            say(env.get(variable) in files, f"{variable} is {env.get(variable)}, there are {sorted(files)}")
        for variable in container["env"]:
            say("secretKeyRef" not in variable.get("valueFrom", {}), f"{variable['name']}: a secret in the environment")
        for source in container.get("envFrom", []):
            say(source["configMapRef"]["name"] in keys, f"no settings {source}")
        # The broker's configuration, and what that includes.
        asked = [path for path in container.get("args", []) if path.endswith(".conf")]
        for path in asked:
            say(path in files, f"no {path} in {sorted(files)}")
            directory, _, file = path.rpartition("/")
            if (NATS / file).is_file():
                text = (NATS / file).read_text(encoding="utf-8")
                asked += [f"{directory}/{included}" for included in re.findall(r"^include (\S+)", text, re.MULTILINE)]


def main():
    """Says all that is wrong."""
    wrong = []
    at_all = lambda holds, what: holds or wrong.append(what)
    keys = check_secrets(at_all)
    for path in DIRECTORY.glob("*"):
        at_all(path.is_dir() or "REPLOG_INSECURE" not in path.read_text(encoding="utf-8"), f"{path.name}: REPLOG_INSECURE")
    files = {path.name: path for path in DIRECTORY.glob("*.yaml") if path.name != "kustomization.yaml"}
    listed = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    if set(files) != {name for name in listed if name.endswith(".yaml")}:
        wrong.append(f"kustomization.yaml lists {listed}, there are {sorted(files)}")
    resources = [r for path in files.values() for r in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    at_all(not [r for r in resources if r["kind"] == "Secret"], "a Secret is in the repository")
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
        check_references(name, workload, keys, say)
        say(services[workload["spec"]["serviceName"]]["spec"]["clusterIP"] == "None", "its service must be headless")
        say(selected(workload["spec"]["selector"]["matchLabels"]), "selects none of its own pods")
    for name, service in services.items():
        ports = selected(service["spec"]["selector"])
        if not all(port["targetPort"] in ports for port in service["spec"]["ports"]):
            wrong.append(f"service {name}: no such port in {ports}")
    if not services["master"]["spec"].get("publishNotReadyAddresses"):
        wrong.append("service master: a master that is not ready must be reachable")
    at_all({"nats", "nodes"} <= set(of("NetworkPolicy")), "who reaches the broker and the nodes is not limited")
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
