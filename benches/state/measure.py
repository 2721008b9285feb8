"""Measures `idaas-bridge materialize` with many users, against a real Apache Kafka on this machine.

    python benches/state/measure.py [USERS]     (default 1,000,000; about 3 GB of disk below target/)

Needs Java 17, the jars below target/kafka-4.1.1/libs and the Python packages of examples/consumers/python
(tests/consumers/run installs both), and target/release/idaas-bridge. Prints: events per second while the states are made,
how long a restart takes with the store and without it, and the largest resident memory of each process.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
sys.path.insert(0, str(ROOT / "tests/consumers"))
sys.dont_write_bytecode = True
import environment  # noqa: E402
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition  # noqa: E402
from environment import Process, free_ports, start_kafka, wait_until  # noqa: E402

environment.TIMEOUT = 1800
USERS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PROGRAM = os.environ.get("PROGRAM", TARGET / "release/idaas-bridge")
RUN = TARGET / "measure-state"
PARTITIONS = 12


def configure(servers, ports):
    subprocess.run([PROGRAM, "simulate", "init", RUN / "staging"], check=True, stdout=subprocess.DEVNULL)
    config = RUN / "staging/bridge.toml"
    text = config.read_text()
    for old, new in {
        "127.0.0.1:8080": f"127.0.0.1:{ports[0]}",
        "127.0.0.1:9464": f"127.0.0.1:{ports[1]}",
        "localhost:9092": servers,
        "[log]": f'[state]\ndirectory = "state"\nadmin_listen = "127.0.0.1:{ports[2]}"\n\n[log]',
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    config.write_text(text)
    subprocess.run([PROGRAM, "topics", "--create", "--config", config], check=True, stdout=subprocess.DEVNULL)
    return config


def event():
    """A user event as the bridge publishes it."""
    value = json.loads((ROOT / "asyncapi/examples/user/created.json").read_text())
    headers = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_type": "com.alibabacloud.idaas.user.created.v1",
        "ce_source": "/idaas/idaas_ue2jvisn35ea5lmthk267xxxx/app_mkv7rgt4d7i4u7zqtzev2mxxxx",
        "ce_time": value["origin"]["eventTime"],
    }
    return json.dumps(value, separators=(",", ":")), headers


def user_id(number):
    """An id as IDaaS makes them: no order, so that rows of one transaction are spread over the whole store."""
    return "user_" + base64.b32encode(hashlib.sha256(b"%d" % number).digest()[:16]).decode()[:26].lower()


def publish(servers):
    producer = Producer({"bootstrap.servers": servers, "log_level": 0, "linger.ms": 50, "queue.buffering.max.messages": 500_000})
    value, headers = event()
    for number in range(USERS):
        user = user_id(number)
        changed = value.replace("user_d6sbsuumeta4h66ec3il7yxxxx", user).replace("zhangsan", f"user{number}")
        head = [*headers.items(), ("ce_id", f"evnt_{number:026x}"), ("ce_subject", user)]
        while True:
            try:
                producer.produce("idaas.user.v1", changed, user, headers=head)
                break
            except BufferError:
                producer.poll(0.5)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(300) == 0
    return len(value) + sum(len(name) + len(text) for name, text in headers.items())


def committed(consumer):
    """The number of events whose states are committed; 0 while the coordinator does not answer."""
    try:
        places = consumer.committed([TopicPartition("idaas.user.v1", number) for number in range(PARTITIONS)])
    except KafkaException:
        return 0
    return sum(max(place.offset, 0) for place in places)


def resident(process):
    status = pathlib.Path(f"/proc/{process.child.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def processor(process):
    fields = pathlib.Path(f"/proc/{process.child.pid}/stat").read_text().rsplit(")")[-1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def start(config, port, name):
    begin = time.monotonic()
    process = Process(RUN / f"{name}.log", PROGRAM, "materialize", "--config", config)
    wait_until("materialize is ready", lambda: process.check() and is_ready(port), 0.02)
    return process, time.monotonic() - begin


def main():
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    servers = start_kafka(RUN, TARGET / "kafka-4.1.1/libs", ROOT / "tests/kafka/log4j2.properties")
    ports = free_ports(3)
    config = configure(servers, ports)
    size = publish(servers)
    print(f"{USERS:,} events of about {size} bytes are in the topic", flush=True)

    group = {"bootstrap.servers": servers, "log_level": 0, "group.id": "idaas-bridge-state", "enable.auto.commit": False}
    consumer = Consumer(group)
    process, _ = start(config, ports[2], "all-events")
    began, cpu, before = time.monotonic(), processor(process), committed(consumer)
    wait_until("all states are made", lambda: process.check() and committed(consumer) >= USERS, 0.1)
    took, cpu, made = time.monotonic() - began, processor(process) - cpu, USERS - before
    print(f"states: {made / took:,.0f} events/s, {made / cpu:,.0f} per second of processor, {resident(process):.0f} MiB")
    process.stop()

    process, took = start(config, ports[2], "with-store")
    print(f"restart with the store: ready in {took:.2f} s, {resident(process):.0f} MiB")
    process.stop()

    size = sum(file.stat().st_size for file in (RUN / "staging/state").rglob("*") if file.is_file())
    shutil.rmtree(RUN / "staging/state")
    process, took = start(config, ports[2], "without-store")
    cpu = processor(process)
    print(f"restore: {USERS / took:,.0f} records/s ({took:.1f} s), {USERS / cpu:,.0f} per second of processor, "
          f"{resident(process):.0f} MiB; the store has {size / 2**20:,.0f} MiB")
    process.stop()
    shutil.rmtree(RUN, ignore_errors=True)


main()
