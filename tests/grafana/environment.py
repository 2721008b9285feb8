"""Real programs for the test: Apache Kafka, the bridge, `materialize`, Prometheus. All files are below target/grafana."""

import contextlib
import email.utils
import functools
import http.server
import json
import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
KAFKA = TARGET / "kafka-4.1.1"
POM = ROOT / "tests/kafka/pom.xml"
RUN = TARGET / "grafana"
PROGRAM = Path(sys.argv[1] if len(sys.argv) > 1 else TARGET / "release/idaas-bridge").resolve()
# Long enough for a busy machine. Nothing waits for it on a machine that is not.
DEADLINE = time.monotonic() + 600

processes = []


class Process:
    """A program that runs until it is stopped. Its output is in a file of its name."""

    def __init__(self, name, command, **options):
        self.name, self.command, self.options = name, command, options
        self.start()

    def start(self):
        with open(RUN / f"{self.name}.log", "ab") as log:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=RUN, **self.options
            )
        processes.append(self)

    def stop(self):
        """Asks it to end, and waits for that."""
        processes.remove(self)
        self.child.terminate()
        self.child.wait(timeout=60)

    def kill(self):
        processes.remove(self)
        self.child.kill()
        self.child.wait()


def call(command, **options):
    """Runs a command to its end. Returns its exit code and what it wrote."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=RUN, timeout=60, **options)
    return done.returncode, done.stdout + done.stderr


def require(command, **options):
    code, text = call(command, **options)
    if code != 0:
        sys.exit(f"error: {command[0]}: exit code {code}\n{text}")


def wait(what, condition, shown=lambda: ""):
    while True:
        for process in processes:
            if process.child.poll() is not None:
                log = (RUN / f"{process.name}.log").read_text(errors="replace")
                sys.exit(f"error: {process.name} ended with {process.child.returncode}\n{log[-4000:]}")
        result = condition()
        if result:
            return result
        if time.monotonic() > DEADLINE:
            sys.exit(f"error: timeout while waiting until {what} {shown()}; the logs are in {RUN}")
        time.sleep(0.1)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def get(url):
    # Never through a proxy: everything is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""


def java(*arguments):
    return ["java", "-Xms192m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={ROOT / 'tests/kafka/log4j2.properties'}", "-cp", f"{KAFKA}/libs/*", *arguments]


def start_kafka(port, controller):
    """Formats and starts one broker."""
    marker = KAFKA / "complete"
    if not marker.exists() or marker.read_bytes() != POM.read_bytes():
        KAFKA.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(KAFKA / "libs", ignore_errors=True)
        require(["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={KAFKA / 'libs'}"])
        shutil.copy(POM, marker)
    (RUN / "kafka.properties").write_text(f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.dirs={RUN / 'kafka-data'}
""")
    cluster = "A" + secrets.token_urlsafe(16)[1:]
    require(java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(RUN / "kafka.properties")))
    return Process("kafka", java("kafka.Kafka", str(RUN / "kafka.properties")))


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves a directory: the public keys, with the `Date` by which the service measures the clock, and the metrics that
    `fetch` writes, which otherwise the node exporter serves. Each path can be missing, and the clock can be wrong."""

    missing = set()
    clock_offset = 0

    def do_GET(self):
        if self.path.partition("?")[0] in Files.missing:
            self.send_error(404)
        else:
            super().do_GET()

    def date_time_string(self, timestamp=None):
        # Only the time of the answer, not of the file.
        return email.utils.formatdate(time.time() + Files.clock_offset, usegmt=True) if timestamp is None else super().date_time_string(timestamp)

    def guess_type(self, path):
        return "text/plain; version=0.0.4" if path.endswith(".prom") else super().guess_type(path)

    def log_message(self, *_):
        pass


def serve_files(directory):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=directory))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def write_certificate(keys, days):
    require(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", days, "-subj", "/CN=localhost",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", keys / "tls.key", "-out", keys / "tls.crt"])


class Configuration:
    """bridge.toml of a simulated IDaaS whose keys come over HTTP, with a small journal, a listener with TLS, and state
    topics. The running bridge notices changes."""

    def __init__(self, keys, ports):
        require([PROGRAM, "simulate", "init", keys])
        write_certificate(keys, 30)
        self.file = keys / "bridge.toml"
        for before, after in [
            ("[server]\n", '[server]\ntls = { certificate = "tls.crt", key = "tls.key" }\n'),
            ('jwks = { file = "jwks.json" }', f'jwks = "http://127.0.0.1:{ports["files"]}/jwks.json"'),
            ("[journal]\n", '[journal]\nmax_size = "16MiB"\n'),
            ("[log]\n", f'[state]\ngroup_id = "dashboard"\ndirectory = "state"\nadmin_listen = "127.0.0.1:{ports["state"]}"\n\n[log]\n'),
            ("partitions = 12", "partitions = 2"),
            ("create = true", "create = false"),
            ('listen = "127.0.0.1:8080"', f'listen = "127.0.0.1:{ports["listen"]}"'),
            ('admin_listen = "127.0.0.1:9464"', f'admin_listen = "127.0.0.1:{ports["admin"]}"'),
            ("localhost:9092", f"127.0.0.1:{ports['kafka']}"),
        ]:
            self.replace(before, after)

    def text(self):
        return self.file.read_text()

    def replace(self, before, after):
        text = self.text()
        if before not in text:
            sys.exit(f"error: {self.file} has no {before!r}")
        self.file.write_text(text.replace(before, after, 1))

    @contextlib.contextmanager
    def replaced(self, before, after):
        text = self.text()
        self.replace(before, after)
        yield
        self.file.write_text(text)

    def value(self, key):
        """The first value of a key."""
        [value] = [line.split(" = ")[1].strip('"') for line in self.text().splitlines() if line.startswith(f"{key} = ")][:1]
        return value


class Prometheus:
    def __init__(self, ports, rules):
        self.root = f"http://127.0.0.1:{ports['prometheus']}"
        jobs = {"idaas-bridge": "admin", "idaas-bridge-state": "state"}
        scraped = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{ports[port]}"]}]} for job, port in jobs.items()]
        textfile = {"job_name": "node", "metrics_path": "/fetch.prom", "static_configs": [{"targets": [f"127.0.0.1:{ports['files']}"]}]}
        (RUN / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [*scraped, textfile],
        }))
        Process("prometheus", ["prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={RUN / 'prometheus-data'}",
                               f"--web.listen-address=127.0.0.1:{ports['prometheus']}"])
        wait("Prometheus is ready", lambda: "is Ready" in get(f"{self.root}/-/ready"))

    def own_metrics(self):
        return get(f"{self.root}/metrics")

    def ask(self, path, **parameters):
        answer = json.loads(get(f"{self.root}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") or "{}")
        if answer.get("status") == "error":
            raise ValueError(answer["error"])
        return answer.get("data")

    def value(self, query):
        data = self.ask("query", query=query)
        return float(data["result"][0]["value"][1]) if data and data["result"] else math.nan

    def series(self, query):
        """The labels of each series of a query."""
        return [found["metric"] for found in self.ask("query", query=query)["result"]]

    def has_data(self, query, since):
        """Whether the query has had a number since then."""
        data = self.ask("query_range", query=query, start=since, end=time.time(), step=1)
        values = [float(value) for series in data["result"] for _, value in series["values"]]
        return any(math.isfinite(value) for value in values)

    def wait_for_scrapes(self):
        """Waits until two scrapes of everything that answers are over."""
        since = time.time()
        wait("two more scrapes are over", lambda: self.value("min(timestamp(up))") > since + 2)
