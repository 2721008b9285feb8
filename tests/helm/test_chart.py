"""The Helm chart: what it renders is valid, safe and consistent, and the bridge reads the configuration.

Arguments: Helm, the bridge, and the package that holds the JSON Schemas of Kubernetes.
"""

import base64
import copy
import functools
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import tomllib
import unittest
import zipfile

import jsonschema
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator
from referencing import Registry, Resource

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/idaas-bridge"
CASES = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}
CASE_VALUES = {case: yaml.safe_load(path.read_text()) for case, path in CASES.items()}
# The oldest version that the chart supports (kubeVersion), and the newest with schemas.
KUBERNETES = ["1.30.0", "1.37.0"]
HELM, BRIDGE, SCHEMAS = sys.argv[1:4]
# Helm must not pick up plugins or settings of the user.
HOME = tempfile.TemporaryDirectory()
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": HOME.name}


def helm(*arguments):
    return subprocess.run([HELM, *arguments], env=ENVIRONMENT, capture_output=True, text=True)


def render(case, *options):
    """The objects that the chart renders for a case."""
    done = helm("template", "idaas-bridge", CHART, "--namespace", "identity", "--values", CASES[case], *options)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def problems(*options, case="minimal"):
    """What Helm says if it does not render."""
    done = helm("template", "idaas-bridge", CHART, "--values", CASES[case], *options)
    return done.stderr if done.returncode else ""


@functools.cache
def rendered(case):
    return render(case)


def objects(case, kind, name=None):
    found = [document for document in rendered(case) if document["kind"] == kind]
    return [document for document in found if name in (None, document["metadata"]["name"])]


def pod_templates(documents):
    """Metadata and specification of every pod that the objects lead to, with the object's name."""
    for document in documents:
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], document
        elif document["kind"] == "CronJob":
            yield document["metadata"]["name"], document["spec"]["jobTemplate"]["spec"]["template"]
        elif document["kind"] in ("StatefulSet", "Deployment"):
            yield document["metadata"]["name"], document["spec"]["template"]


def configuration(case):
    [config_map] = objects(case, "ConfigMap", "idaas-bridge")
    return config_map["data"]["bridge.toml"]


@functools.cache
def schema_validator(version, kind, api_version):
    directory = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    with zipfile.ZipFile(SCHEMAS) as schemas:
        schema = json.loads(schemas.read(f"{directory}/{kind.lower()}-{group}.json"))
        definitions = json.loads(schemas.read(f"{directory}/_definitions.json"))
    registry = Resource.from_contents(definitions) @ Registry()
    registry = Resource.from_contents(schema) @ registry
    return jsonschema.Draft202012Validator(schema, registry=registry)


class RenderTest(unittest.TestCase):
    def test_the_chart_passes_lint_for_every_case(self):
        for case, path in CASES.items():
            done = helm("lint", "--strict", CHART, "--values", path)
            self.assertEqual(done.returncode, 0, f"{case}: {done.stdout}{done.stderr}")

    def test_every_object_is_valid(self):
        count = 0
        for case in CASES:
            for document in rendered(case):
                kind, api_version = document["kind"], document["apiVersion"]
                with self.subTest(case, kind=kind, name=document["metadata"]["name"]):
                    count += 1
                    if api_version.startswith("monitoring.coreos.com/"):
                        getattr(operator, kind).model_validate(document, extra="forbid")
                        continue
                    for version in KUBERNETES:
                        schema_validator(version, kind, api_version).validate(document)
        self.assertGreater(count, 40)

    def test_notes_name_the_next_steps(self):
        done = helm("install", "idaas-bridge", CHART, "--dry-run=client", "--values", CASES["monitoring"])
        self.assertEqual(done.returncode, 0, done.stderr)
        for part in (
            "journal.key",
            "get secret idaas-bridge-keys",
            "helm test idaas-bridge",
            "https://idaas-events.example.com/callbacks/workforce",
            "Test Connectivity",
            r"get secret idaas-bridge-admin-token -o jsonpath='{.data.admin\.token}' | base64 --decode",
        ):
            self.assertIn(part, done.stdout)
        self.assertNotIn("WARNING", done.stdout)

    def test_no_secret_but_a_new_admin_token_is_rendered(self):
        for case in CASES:
            expected = ["idaas-bridge-admin-token"] if case in ("minimal", "monitoring") else []
            self.assertEqual([found["metadata"]["name"] for found in objects(case, "Secret")], expected, case)


class Cluster(http.server.ThreadingHTTPServer):
    """The part of the API of Kubernetes that Helm needs for a dry run on a server: the kinds of objects, and Secrets."""

    def __init__(self, documents, secrets):
        super().__init__(("127.0.0.1", 0), Answer)
        self.secrets = secrets
        self.kinds = {}
        for document in documents:
            self.kinds.setdefault(document["apiVersion"], set()).add(document["kind"])

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return ["--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", f"http://127.0.0.1:{self.server_port}"]

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def answer(self, path):
        version = path.removeprefix("/apis/" if path.startswith("/apis/") else "/api/")
        if path == "/version":
            return {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            groups = [group_version.split("/") for group_version in self.kinds if "/" in group_version]
            listed = {name: {"groupVersion": f"{name}/{version}", "version": version} for name, version in groups}
            found = [{"name": name, "versions": [one], "preferredVersion": one} for name, one in listed.items()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
        if version in self.kinds:
            names = [{"name": f"{kind.lower()}s", "kind": kind, "namespaced": True, "verbs": ["get"]} for kind in self.kinds[version]]
            return {"kind": "APIResourceList", "groupVersion": version, "resources": names}
        name = path.removeprefix("/api/v1/namespaces/identity/secrets/")
        data = self.secrets.get(name)
        return data and {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "identity"}, "data": data}


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.server.answer(self.path.partition("?")[0])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(found or missing).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class AdminTokenTest(unittest.TestCase):
    NAME = "idaas-bridge-admin-token"

    def token(self, documents):
        [secret] = [found for found in documents if found["kind"] == "Secret"]
        self.assertEqual((secret["metadata"]["name"], list(secret["data"])), (self.NAME, ["admin.token"]))
        return secret["data"]["admin.token"]

    def read(self, documents):
        """What the bridge reads as server.admin_token, and the Secrets that the pods mount for it."""
        [config_map] = [found for found in documents if found["kind"] == "ConfigMap"]
        config = tomllib.loads(config_map["data"]["bridge.toml"])
        token = config.get("server", {}).get("admin_token")
        mounts = set()
        for _, template in pod_templates(documents):
            [volume] = [volume for volume in template["spec"]["volumes"] if volume["name"] == "config"]
            found = [source["secret"] for source in volume["projected"]["sources"] if "secret" in source]
            items = [(secret["name"], item["key"]) for secret in found for item in secret.get("items", [])
                     if token and item["path"] == token["file"]]
            mounts.add(tuple(items))
        return config, token, mounts

    def test_a_random_token_is_made_and_mounted(self):
        tokens = {base64.b64decode(self.token(render("minimal"))).decode() for _ in range(2)}
        self.assertEqual(len(tokens), 2)
        for token in tokens:
            self.assertRegex(token, "^[A-Za-z0-9]{48}$")
        _, token, mounts = self.read(render("minimal", "--set", "state.enabled=true"))
        self.assertEqual((token, mounts), ({"file": "chart-admin.token"}, {((self.NAME, "admin.token"),)}))

    def test_an_upgrade_keeps_the_token(self):
        documents = render("minimal")
        kept = base64.b64encode(b"kept-kept-kept-kept").decode()
        for secrets, is_kept in [({self.NAME: {"admin.token": kept}}, True), ({}, False), ({self.NAME: {"other": kept}}, False)]:
            with self.subTest(secrets), Cluster(documents, secrets) as options:
                upgraded = render("minimal", "--is-upgrade", *options)
                self.assertEqual(self.token(upgraded) == kept, is_kept)

    def test_the_configuration_is_kept_beside_the_token(self):
        for start in ["", "[server]\n", "# a comment\n[ server ]  # ours\ndrain_timeout = \"20s\"\n\n[topics]\ncreate = true\n",
                      "[server.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n[server]\r\nmax_body = \"1MiB\"\r\n"]:
            with self.subTest(start), changed("state", start) as options:
                config, token, mounts = self.read(render("state", *options))
                self.assertEqual((token, mounts), ({"file": "chart-admin.token"}, {(("idaas-bridge-admin", "token"),)}))
                expected = tomllib.loads(start + CASE_VALUES["state"]["config"])
                del config["server"]["admin_token"]
                self.assertEqual({"server": {}} | expected, config)

    def test_a_configuration_that_cannot_take_the_token_is_rejected(self):
        with changed("minimal", 'server = { drain_timeout = "20s" }\n') as options:
            self.assertIn("adminToken: cannot be added to config", problems(*options))
            self.assertEqual(problems(*options, "--set", "adminToken.create=false"), "")

    def test_a_token_of_the_operator_takes_precedence(self):
        variable = '[{"name": "IDAAS_BRIDGE_SERVER__ADMIN_TOKEN", "valueFrom": {"secretKeyRef": {"name": "own", "key": "token"}}}]'
        for case, options in [("production", []), ("minimal", ["--set-json", f"env={variable}"]), ("minimal", ["--set", "adminToken.create=false"])]:
            documents = render(case, *options)
            self.assertEqual([found for found in documents if found["kind"] == "Secret"], [])
            [config_map] = [found for found in documents if found["kind"] == "ConfigMap" and found["metadata"]["name"] == "idaas-bridge"]
            self.assertEqual(config_map["data"]["bridge.toml"].strip(), CASE_VALUES[case]["config"].strip())
        found = problems("--set", "adminToken.existingSecret=mine", case="production")
        self.assertIn("adminToken.existingSecret: is set, and config or env sets server.admin_token", found)


class PodTest(unittest.TestCase):
    def test_every_pod_meets_the_restricted_standard(self):
        for case in CASES:
            for name, template in pod_templates(rendered(case)):
                with self.subTest(case, name=name):
                    pod = template["spec"]
                    self.assertFalse(pod["automountServiceAccountToken"])
                    self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                    self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    for container in pod["containers"]:
                        security = container["securityContext"]
                        self.assertFalse(security["allowPrivilegeEscalation"])
                        self.assertTrue(security["readOnlyRootFilesystem"])
                        self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
                        self.assertIn("memory", container["resources"]["limits"])
                        self.assertNotIn("cpu", container["resources"]["limits"])

    def test_every_selector_finds_the_pods_of_its_component_only(self):
        for case in CASES:
            pods = {name: template["metadata"]["labels"] for name, template in pod_templates(rendered(case))}
            for document in rendered(case):
                spec = document.get("spec", {})
                selector = spec.get("podSelector") or spec.get("selector")
                if document["kind"] in ("Pod", "CronJob", "Ingress") or not selector:
                    continue
                with self.subTest(case, kind=document["kind"], name=document["metadata"]["name"]):
                    wanted = selector.get("matchLabels", selector)
                    found = [name for name, labels in pods.items() if wanted.items() <= labels.items()]
                    component = document["metadata"]["labels"]["app.kubernetes.io/component"]
                    self.assertEqual(found, ["idaas-bridge" if component == "bridge" else f"idaas-bridge-{component}"])

    def test_the_grace_period_exceeds_pause_and_drain(self):
        for case, drain in [("minimal", 12), ("production", 20)]:
            [replicas] = objects(case, "StatefulSet")
            pod = replicas["spec"]["template"]["spec"]
            pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            configured = tomllib.loads(configuration(case)).get("server", {}).get("drain_timeout", "12s")
            self.assertEqual(configured, f"{drain}s")
            self.assertEqual(pod["terminationGracePeriodSeconds"], pause + drain + 5)
        for drain, seconds in [("1m 30s", 90), ("12500ms", 13), ("1h", 3600)]:
            with changed("minimal", f'[server]\ndrain_timeout = "{drain}"\n') as options:
                [replicas] = [found for found in render("minimal", *options) if found["kind"] == "StatefulSet"]
                self.assertEqual(replicas["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 5 + seconds + 5)

    def test_ports_are_the_same_everywhere(self):
        for case in CASES:
            for name, template in pod_templates(rendered(case)):
                [container] = template["spec"]["containers"]
                ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
                variables = {entry["name"]: entry.get("value") for entry in container["env"]}
                for port, variable in [
                    ("callbacks", "IDAAS_BRIDGE_SERVER__LISTEN"),
                    ("admin", "IDAAS_BRIDGE_SERVER__ADMIN_LISTEN"),
                    ("admin", "IDAAS_BRIDGE_STATE__ADMIN_LISTEN"),
                ]:
                    if port in ports and variable in variables:
                        self.assertEqual(variables[variable], f"0.0.0.0:{ports[port]}", name)

    def test_the_bridge_knows_the_number_of_replicas(self):
        for case in CASES:
            [replicas] = objects(case, "StatefulSet")
            variables = replicas["spec"]["template"]["spec"]["containers"][0]["env"]
            [count] = [entry["value"] for entry in variables if entry["name"] == "IDAAS_BRIDGE_DEDUPE__REPLICAS"]
            self.assertEqual(int(count), replicas["spec"]["replicas"])

    def test_only_prometheus_reaches_the_admin_port(self):
        for case in CASES:
            for policy in objects(case, "NetworkPolicy"):
                [admin] = [rule for rule in policy["spec"]["ingress"] if rule["ports"] == [{"port": "admin"}]]
                [peer] = admin["from"]
                self.assertEqual(peer["podSelector"]["matchLabels"], {"app.kubernetes.io/name": "prometheus"})
        # A rule with an empty `from` would admit everybody.
        for document in render("minimal", "--set-json", "networkPolicy.adminFrom=[]"):
            if document["kind"] == "NetworkPolicy":
                self.assertEqual(document["spec"]["ingress"], [{"ports": [{"port": "callbacks"}]}])


class MonitoringTest(unittest.TestCase):
    def test_alerts_are_those_of_the_repository(self):
        text = (ROOT / "deploy/prometheus/alerts.yml").read_text()
        [rule] = objects("production", "PrometheusRule")
        self.assertEqual(rule["spec"], yaml.safe_load(text))

        moved = yaml.safe_load(text.replace("https://docs.example.com/idaas-bridge", "https://wiki.example.com/idaas-bridge"))
        for group in moved["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule["alert"] != "IdaasBridgeSilent"]
        [rule] = objects("monitoring", "PrometheusRule")
        self.assertEqual(rule["spec"], moved)

    def test_the_dashboard_is_that_of_the_repository(self):
        [config_map] = objects("monitoring", "ConfigMap", "idaas-bridge-dashboard")
        dashboard = (ROOT / "deploy/grafana/idaas-bridge.json").read_text()
        self.assertEqual(json.loads(config_map["data"]["idaas-bridge.json"]), json.loads(dashboard))

    def test_an_unknown_alert_cannot_be_disabled(self):
        options = ["--set-json", 'monitoring.disabledAlerts=["IdaasBridgeSilnt"]']
        self.assertIn('no alert "IdaasBridgeSilnt"', problems(*options, case="monitoring"))

    def test_the_packaged_chart_contains_the_alerts(self):
        with tempfile.TemporaryDirectory() as directory:
            done = helm("package", CHART, "--destination", directory)
            self.assertEqual(done.returncode, 0, done.stderr)
            [package] = pathlib.Path(directory).iterdir()
            options = ["--values", CASES["monitoring"], "--show-only", "templates/prometheus-rule.yaml"]
            done = helm("template", "idaas-bridge", package, "--namespace", "identity", *options)
            self.assertEqual([yaml.safe_load(done.stdout)], objects("monitoring", "PrometheusRule"))

    def test_jobs_have_the_names_that_the_alerts_use(self):
        with_state = render("monitoring", "--set", "state.enabled=true")
        jobs = {
            monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: relabeling["replacement"]
            for monitor in with_state
            if monitor["kind"] == "PodMonitor"
            for endpoint in monitor["spec"]["podMetricsEndpoints"]
            for relabeling in endpoint["relabelings"]
            if relabeling["targetLabel"] == "job"
        }
        scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
        self.assertEqual(sorted(jobs.values()), sorted(config["job_name"] for config in scraped))
        self.assertEqual(jobs["bridge"], "idaas-bridge")


class changed:
    """Options that render a case with a configuration that starts with these lines, or in which a text is replaced."""

    def __init__(self, case, start="", replace=None):
        text = CASE_VALUES[case]["config"]
        if replace:
            old, new = replace
            assert old in text, old
            text = text.replace(old, new)
        self.text = start + text

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".toml", newline="")
        self.file.write(self.text)
        self.file.flush()
        return ["--set-file", f"config={self.file.name}"]

    def __exit__(self, *_):
        self.file.close()


class RestartTest(unittest.TestCase):
    def annotation(self, case, *options):
        [replicas] = [document for document in render(case, *options) if document["kind"] == "StatefulSet"]
        return replicas["spec"]["template"]["metadata"]["annotations"]["checksum/restart"]

    def test_pods_restart_only_for_what_a_reload_cannot_change(self):
        before = self.annotation("production")
        for old, new, restarts in [
            ('name = "partners"', 'name = "suppliers"', False),
            ('"sasl.username" = "idaas-bridge"', '"sasl.username" = "bridge"', False),
            ('{ file = "journal.key" }', '{ file = "next.key" }, { file = "journal.key" }', False),
            ('admin_token = { file = "admin.token" }', "", False),
            ("events = true", 'events = false\nlevel = "debug"', False),
            ('certificate = "tls.crt"', 'certificate = "next.crt"', False),
            ('tls = { certificate = "tls.crt", key = "tls.key" }', "", True),
            ('drain_timeout = "20s"', 'drain_timeout = "21s"', True),
            ('max_size = "4GiB"', 'max_size = "3GiB"', True),
            ("[log]", '[log]\nformat = "text"', True),
            ("[log]", "[topics]\npartitions = 24\n[log]", True),
        ]:
            with self.subTest(new), changed("production", replace=(old, new)) as options:
                self.assertEqual(self.annotation("production", *options) != before, restarts)

    def test_every_change_restarts_a_bridge_that_watches_no_files(self):
        annotations = set()
        for name in ["workforce", "partners"]:
            change = ('name = "workforce"', f'name = "{name}"')
            with changed("minimal", "[server]\nwatch_files = false\n", change) as options:
                annotations.add(self.annotation("minimal", *options))
        self.assertEqual(len(annotations), 2)


class MistakeTest(unittest.TestCase):
    def test_mistakes_are_rejected_together_and_name_the_fix(self):
        self.assertIn("idaas-bridge init", problems("--set", "config="))
        self.assertIn("config: is not TOML", problems("--set", "config=a = = 1"))
        found = problems(
            *["--set", "journal.size=1Gi", "--set", "resources.limits.memory=512Mi", "--set-json", "files=[]"],
            *["--set", "ingress.enabled=true", "--set-json", 'env=[{"name": "KAFKA_PASSWORD", "value": "hunter2"}]'],
            *["--set-json", 'fetch=[{"application": "workforce", "schedule": "@daily"}]'],
        )
        for part in (
            "journal.size: is 1Gi; it must be at least 2312Mi",
            "resources.limits.memory: is 512Mi; it must be at least 812Mi",
            "files: is empty, and config names encryption.key, journal.key, kafka-ca.pem",
            "ingress.host: is empty",
            "env: KAFKA_PASSWORD is a secret",
            "fetch: config has no [application.fetch]",
        ):
            self.assertIn(part, found)
        self.assertNotIn("hunter2", found)

    def test_a_secret_in_the_configuration_is_rejected_and_not_shown(self):
        secret = "5ec3e75ec3e75ec3e75ec3e75ec3e75e"
        for old, new, key in [
            ('keys = [{ file = "journal.key" }]', f'keys = ["{secret}"]', "journal.keys"),
            ('keys = [{ file = "workforce.key" }', f'keys = ["{secret}"', "application[workforce].decryption_keys"),
            ('{ file = "admin.token" }', f'"{secret}"', "server.admin_token"),
            ('{ env = "KAFKA_PASSWORD" }', f'"{secret}"', 'kafka.properties."sasl.password"'),
            ('"sasl.password" = { env = "KAFKA_PASSWORD" }', f'sasl.password = "{secret}"', 'kafka.properties."sasl.password"'),
            ('"ssl.ca.location"', f'"ssl.key.pem" = "{secret}"\n"ssl.ca.location"', 'kafka.properties."ssl.key.pem"'),
            ('name = "workforce"', f'name = "workforce"\ncredential_key = "{secret}"', "application[workforce].credential_key"),
            (
                'name = "workforce"',
                f'name = "workforce"\nfetch = {{ client_secret = "{secret}" }}',
                "application[workforce].fetch.client_secret",
            ),
        ]:
            with self.subTest(key), changed("production", replace=(old, new)) as options:
                found = problems(*options, case="production")
                self.assertIn(f"config: {key} has a secret in it", found)
                self.assertNotIn(secret, found)

    def test_unknown_values_and_secrets_in_values_are_rejected(self):
        for options in (
            ["--set", "replica=3"],
            ["--set", "replicas=0"],
            ["--set-json", 'files=[{"secret": {"name": "keys", "stringData": {"journal.key": "x"}}}]'],
            ["--set-json", 'env=[{"name": "A"}]'],
            ["--set", "image.digest=latest"],
        ):
            self.assertIn("schema", problems(*options), options)


class BridgeTest(unittest.TestCase):
    """The bridge reads the configuration with the variables of each pod."""

    def test_the_bridge_accepts_every_configuration(self):
        for case in CASES:
            for name, template in pod_templates(rendered(case)):
                [container] = template["spec"]["containers"]
                with self.subTest(case, pod=name), tempfile.TemporaryDirectory() as directory:
                    directory = pathlib.Path(directory)
                    write_files(directory, configuration(case))
                    done = self.check(directory, container)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    self.assertIn("0 faults, 0 warnings", done.stdout)

    def test_the_bridge_rejects_an_unknown_key(self):
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            write_files(directory, "[serve]\n" + configuration("minimal"))
            [replicas] = objects("minimal", "StatefulSet")
            done = self.check(directory, replicas["spec"]["template"]["spec"]["containers"][0])
            self.assertEqual(done.returncode, 2)

    def check(self, directory, container):
        variables = {}
        for entry in copy.deepcopy(container["env"]):
            variables[entry["name"]] = entry.get("value", "0123456789abcdef")
        variables |= {
            # Any free port, and directories that exist here.
            "IDAAS_BRIDGE_SERVER__LISTEN": "127.0.0.1:0",
            "IDAAS_BRIDGE_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
            "IDAAS_BRIDGE_JOURNAL__DIRECTORY": str(directory / "journal"),
        }
        command = [BRIDGE, "check", "--offline", "--config", directory / "bridge.toml"]
        return subprocess.run(command, env=variables, capture_output=True, text=True)


def write_files(directory, config):
    """Writes the configuration, and made-up files for the names in it."""
    (directory / "bridge.toml").write_text(config)
    for name in set(re.findall(r'"([a-z-]+\.(?:key|crt|pem|token|secret))"', config)):
        path = directory / name
        path.touch(mode=0o600)
        if name in ("tls.crt", "tls.key") or name.endswith(".pem"):
            continue
        path.write_text(f"{sum(name.encode()) % 256:02x}" * 32)
    certificate, key = directory / "tls.crt", directory / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-subj", "/CN=idaas-events.example.com", "-days", "365", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    (directory / "kafka-ca.pem").write_bytes(certificate.read_bytes())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
