"""Whether what `kubectl kustomize deploy/kubernetes-ha` makes is a log that no single machine can take away: kubernetes_ha.py FILE"""

import pathlib
import sys

import yaml

from kubernetes import check_pod


def main():
    """Says all that is wrong."""
    resources = list(yaml.safe_load_all(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))
    of = lambda kind: {r["metadata"]["name"]: r["spec"] for r in resources if r["kind"] == kind}
    sets, services, budgets = of("StatefulSet"), of("Service"), of("PodDisruptionBudget")
    wrong = []
    say = lambda holds, what: holds or wrong.append(what)

    master, nats = of("Deployment")["master"], sets["nats"]
    for name, workload in (("master", master), ("nats", nats)):
        check_pod(workload["template"], lambda holds, what, name=name: say(holds, f"{name}: {what}"))
    # Masters, of which one at most is ready.
    say("master" not in sets, "the master is a StatefulSet, whose rollout waits for a master that stands by to be ready")
    say(master["replicas"] >= 2, "nobody stands by")
    rollout = master["strategy"]["rollingUpdate"]
    say(rollout["maxUnavailable"] == "100%", "a rollout waits for a second ready master")
    env = {v["name"]: v.get("value") for v in master["template"]["spec"]["containers"][0]["env"]}
    say(env["REPLOG_STORE"] == "jetstream", "masters do not share a journal")
    say("POD_IP" in (env["REPLOG_ADVERTISE_URL"] or ""), "a master names another one as itself")
    say(list(env).index("POD_IP") < list(env).index("REPLOG_ADVERTISE_URL"), "POD_IP is said too late")
    service = services["master"]
    say(service.get("clusterIP") != "None" and not service.get("publishNotReadyAddresses"), "the service leads to a master that stands by")
    # Brokers, any one of which may be away.
    container = nats["template"]["spec"]["containers"][0]
    say(nats["replicas"] == 3 and nats["podManagementPolicy"] == "Parallel", "not three brokers that start without each other")
    say(services["nats"].get("publishNotReadyAddresses"), "brokers that are not ready do not find each other")
    claims = {claim["metadata"]["name"] for claim in nats.get("volumeClaimTemplates", [])}
    store = {v["name"]: v.get("value") for v in container["env"]}["NATS_STORE_DIR"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in claims}
    say(store in mounted, f"the store {store} is on none of the volumes {mounted}")
    liveness = container["livenessProbe"]["httpGet"]["path"]
    say("js-enabled-only" in liveness, "a broker that waits for the others is restarted")
    say("master" not in {b["selector"]["matchLabels"]["app.kubernetes.io/name"] for b in budgets.values()}, "a master's machine is never emptied")
    say(budgets["nats"]["maxUnavailable"] == 1, "two brokers may be moved at one time")
    # The brokers that the routes name.
    secret = next(r for r in resources if r["kind"] == "Secret" and r["metadata"]["name"].startswith("nats-cluster"))
    files = [s.get("secret", {}).get("name") for v in nats["template"]["spec"]["volumes"] for s in v.get("projected", {}).get("sources", [])]
    say(secret["metadata"]["name"] in files, "the routes are not mounted")
    ports = {port["name"] for port in container["ports"]}
    for name, policy in of("NetworkPolicy").items():
        ways = [p["port"] for way in policy.get("ingress", []) for p in way["ports"]]
        say(name != "nats" or ("cluster" in ways and "cluster" in ports), "brokers do not reach each other")
    print("\n".join(wrong) if wrong else "kubernetes-ha: three brokers, two masters, one way in")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
