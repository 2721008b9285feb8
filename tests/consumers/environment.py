"""Real servers for the test: Apache Kafka, PostgreSQL, the simulated directory, the bridge. All end with the test."""

import atexit
import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import psycopg

TIMEOUT = 180  # seconds until a condition counts as never met


def wait_until(what, condition, interval=0.05):
    """Waits until the condition returns something true. Returns that."""
    end = time.monotonic() + TIMEOUT
    while not (result := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not reached in {TIMEOUT} s: {what}")
        time.sleep(interval)
    return result


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Process:
    """A child process in a process group of its own, with its output in a file."""

    def __init__(self, log, *command, **options):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        atexit.register(self.stop, signal.SIGKILL)

    def stop(self, number=signal.SIGTERM):
        if self.child.poll() is None:
            os.killpg(self.child.pid, number)
        return self.child.wait(TIMEOUT)

    def check(self):
        """Raises if the process has ended."""
        if self.child.poll() is not None:
            raise RuntimeError(f"{self.log.stem} ended with {self.child.returncode}:\n{self.log.read_text()[-4000:]}")
        return self


def start_kafka(directory, libraries, log4j):
    """Starts one broker. Returns its address."""
    port, controller = free_ports(2)
    properties = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "log.cleaner.backoff.ms": 500,
        "log.dirs": directory / "kafka",
    }
    config = directory / "kafka.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={log4j}"]
    java += ["-cp", f"{libraries}/*"]
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", "idaas-bridge-consumers", "-c", config],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    kafka = Process(directory / "kafka.log", *java, "kafka.Kafka", config)
    wait_until("Kafka listens", lambda: kafka.check() and accepts(port))
    return f"127.0.0.1:{port}"


class PostgreSQL:
    """A server in a temporary directory. It refuses to run as root, and runs as the user `postgres` then."""

    def __init__(self, directory):
        found = glob.glob("/usr/lib/postgresql/*/bin/initdb") or [shutil.which("initdb")]
        programs = pathlib.Path(max(found)).resolve().parent
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        data = pathlib.Path(tempfile.mkdtemp(prefix="idaas-bridge-postgresql-"))
        if user:
            shutil.chown(data, "postgres", "postgres")
        (self.port,) = free_ports(1)
        initdb = [
            programs / "initdb",
            "--pgdata",
            data,
            "--auth=trust",
            "--username=test",
            "--encoding=UTF8",
            "--no-sync",
        ]
        subprocess.run([*user, *initdb], check=True, stdout=subprocess.DEVNULL, cwd="/")
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        options = [f"--{name}={value}" for name, value in options.items()]
        self.process = Process(
            directory / "postgresql.log", *user, programs / "postgres", "-D", data, *options, cwd="/"
        )
        atexit.register(lambda: (self.process.stop(signal.SIGQUIT), shutil.rmtree(data, ignore_errors=True)))
        wait_until("PostgreSQL answers", self.answers)

    def url(self, database):
        return f"postgresql://127.0.0.1:{self.port}/{database}?user=test"

    def answers(self):
        self.process.check()
        with contextlib.suppress(psycopg.OperationalError), self.connect("postgres"):
            return True

    def connect(self, database):
        return psycopg.connect(self.url(database), autocommit=True)

    def create(self, database, schema):
        """Creates a database with the tables of the file. Returns a connection."""
        with self.connect("postgres") as postgres:
            postgres.execute(f"CREATE DATABASE {database}")
        connection = self.connect(database)
        connection.execute(schema.read_text())
        return connection


class Directory:
    """A directory of IDaaS: `idaas-bridge simulate directory`."""

    def __init__(self, directory, program, users, application, instance):
        (port,) = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.secret = directory / "client.secret"
        ids = ["--application-id", application, "--instance-id", instance]
        Process(
            directory / "directory.log",
            program,
            "simulate",
            "directory",
            "--listen",
            f"127.0.0.1:{port}",
            "--users",
            users,
            "--secret-file",
            self.secret,
            *ids,
        )
        wait_until("the simulated directory listens", lambda: accepts(port) and self.secret.exists())

    def users(self):
        with urllib.request.urlopen(f"{self.endpoint}/_control/state") as response:
            return json.load(response)["users"]

    def order(self, do, **order):
        body = json.dumps({"do": do, **order}).encode()
        with urllib.request.urlopen(f"{self.endpoint}/_control/order", body) as response:
            return json.load(response)
