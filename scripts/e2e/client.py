"""What programs do with the API, through the official Python client. Prints one line a check: `ok NAME` or `FAIL NAME: why`.

usage: client.py KUBECONFIG
"""
import sys, threading, time, traceback, uuid

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

config.load_kube_config(sys.argv[1])
core, apps, batch = client.CoreV1Api(), client.AppsV1Api(), client.BatchV1Api()
namespace = "python"


def typed():
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
    made = core.create_namespaced_config_map(
        namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="c-", labels={"a": "b"}), data={"k": "v"}))
    assert made.metadata.name.startswith("c-") and made.metadata.uid
    assert core.read_namespaced_config_map(made.metadata.name, namespace).data == {"k": "v"}
    assert [c.metadata.name for c in core.list_namespaced_config_map(namespace, label_selector="a=b").items] == [made.metadata.name]
    made.data["k"] = "w"
    core.replace_namespaced_config_map(made.metadata.name, namespace, made)
    try:
        core.replace_namespaced_config_map(made.metadata.name, namespace, made)
        raise AssertionError("a stale replace was accepted")
    except ApiException as error:
        assert error.status == 409, error
    core.patch_namespaced_config_map(made.metadata.name, namespace, {"data": {"x": "y"}})
    assert core.read_namespaced_config_map(made.metadata.name, namespace).data == {"k": "w", "x": "y"}
    core.delete_namespaced_config_map(made.metadata.name, namespace)
    try:
        core.read_namespaced_config_map(made.metadata.name, namespace)
        raise AssertionError("it is still there")
    except ApiException as error:
        assert error.status == 404 and '"reason":"NotFound"' in error.body.replace('": "', '":"'), error.body


def pages():
    for number in range(25):
        core.create_namespaced_secret(namespace, client.V1Secret(metadata=client.V1ObjectMeta(name=f"s{number:02}"), string_data={"n": str(number)}))
    names, token = [], None
    while True:
        page = core.list_namespaced_secret(namespace, limit=10, _continue=token)
        names += [s.metadata.name for s in page.items]
        token = page.metadata._continue
        if not token:
            break
        assert page.metadata.remaining_item_count == 25 - len(names)
    assert names == [f"s{n:02}" for n in range(25)], names
    core.delete_collection_namespaced_secret(namespace)
    assert not core.list_namespaced_secret(namespace).items


def workloads():
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "p"}),
        spec=client.V1PodSpec(restart_policy="Never", containers=[client.V1Container(name="c", image="nowhere.example/none:1")]))
    job = batch.create_namespaced_job(namespace, client.V1Job(
        metadata=client.V1ObjectMeta(name="j"), spec=client.V1JobSpec(suspend=True, template=template)))
    assert job.spec.backoff_limit == 6 and job.spec.completions == 1
    deployment = apps.create_namespaced_deployment(namespace, client.V1Deployment(
        metadata=client.V1ObjectMeta(name="d"), spec=client.V1DeploymentSpec(
            replicas=0, selector=client.V1LabelSelector(match_labels={"app": "p"}),
            template=client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels={"app": "p"}), spec=client.V1PodSpec(
                containers=[client.V1Container(name="c", image="nowhere.example/none:1")])))))
    assert deployment.spec.strategy.rolling_update.max_surge == "25%"
    scale = apps.read_namespaced_deployment_scale("d", namespace)
    assert scale.spec.replicas == 0
    apps.delete_namespaced_deployment("d", namespace)
    batch.delete_namespaced_job("j", namespace, propagation_policy="Background")


def watching():
    version = core.list_namespaced_config_map(namespace).metadata.resource_version
    seen = []

    def follow():
        for event in watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=60):
            if event["object"].metadata.name == "watched":
                seen.append(event["type"])
            if event["type"] == "DELETED":
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="watched")))
    core.patch_namespaced_config_map("watched", namespace, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("watched", namespace)
    thread.join(60)
    assert seen == ["ADDED", "MODIFIED", "DELETED"], seen


def dynamically():
    anything = dynamic.DynamicClient(client.ApiClient())
    ingress = anything.resources.get(api_version="networking.k8s.io/v1", kind="Ingress")
    body = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"},
            "spec": {"rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}
    assert ingress.create(body=body, namespace=namespace).metadata.uid
    assert [i.metadata.name for i in ingress.get(namespace=namespace).items] == ["i"]
    ingress.delete(name="i", namespace=namespace)


def applying():
    anything = dynamic.DynamicClient(client.ApiClient())
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    first = maps.server_side_apply(body=body, name="applied", namespace=namespace, field_manager="py")
    assert first.metadata.managedFields[0].manager == "py" and first.metadata.managedFields[0].operation == "Apply"
    again = maps.server_side_apply(body=body, name="applied", namespace=namespace, field_manager="py")
    assert again.metadata.resourceVersion == first.metadata.resourceVersion, "an apply that changes nothing wrote"
    body["data"] = {"a": "2"}
    try:
        maps.server_side_apply(body=body, name="applied", namespace=namespace, field_manager="other")
        raise AssertionError("no conflict")
    except ApiException as error:
        assert error.status == 409 and "py" in error.body, error.body
    maps.server_side_apply(body=body, name="applied", namespace=namespace, field_manager="other", force_conflicts=True)


def electing():
    done = threading.Event()
    lock = ConfigMapLock("leader", namespace, f"me-{uuid.uuid4()}")
    election = electionconfig.Config(lock, lease_duration=4, renew_deadline=3, retry_period=1, onstarted_leading=done.set, onstopped_leading=lambda: None)
    threading.Thread(target=lambda: leaderelection.LeaderElection(election).run(), daemon=True).start()
    assert done.wait(90), "nobody leads"


def ending():
    core.delete_namespace(namespace)
    for _ in range(900):
        try:
            core.read_namespace(namespace)
        except ApiException as error:
            assert error.status == 404
            return
        time.sleep(0.1)
    raise AssertionError("the namespace stays")


for name, body in [("typed objects", typed), ("pages and deletecollection", pages), ("workloads with their defaults", workloads),
                   ("watch", watching), ("dynamic client", dynamically), ("server-side apply", applying),
                   ("leader election", electing), ("delete the namespace", ending)]:
    try:
        body()
        print(f"ok {name}", flush=True)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAIL {name}: {type(error).__name__} line {where.lineno}: {' '.join(str(error).split())[:600]}", flush=True)
