"""Runs the example consumers against real servers, kills them, and compares their tables with the state topic.

Usage: story.py LANGUAGE...; the other arguments are in the environment, see tests/consumers/run.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from environment import Directory, PostgreSQL, Process, free_ports, start_kafka, wait_until
from events import Events

PREFIX, PARTITIONS = "idaas", 3
EVENTS, STATES = f"{PREFIX}.user.v1", f"{PREFIX}.user.state.v1"
PLACE, PROGRAM, ROOT = (pathlib.Path(os.environ[name]) for name in ("PLACE", "PROGRAM", "ROOT"))
EXAMPLES = PLACE / "source/examples/consumers"
COMMANDS = {
    "python": [PLACE / "python/bin/python", EXAMPLES / "python/consumer.py"],
    "typescript": ["node", EXAMPLES / "typescript/dist/consumer.js"],
    "go": [EXAMPLES / "go/consumer"],
    "java": [
        "java",
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        f"{EXAMPLES}/java/target/classes:{EXAMPLES}/java/target/lib/*",
        "example.UsersConsumer",
    ],
    "rust": [PLACE / "rust/release/users-consumer"],
}
# The columns and the fields that they hold.
COLUMNS = {
    "username": "username",
    "display_name": "displayName",
    "status": "status",
    "email": "email.address",
    "email_verified": "email.verified",
    "phone_region": "phone.region",
    "phone_number": "phone.number",
    "organizational_units": "organizationalUnits",
    "account_expires_at": "accountExpiresAt",
}


def step(text):
    print(text, flush=True)


class ExampleConsumer:
    """An example in one language, with a database of its own."""

    def __init__(self, language, server, servers, name):
        self.language, self.name = language, f"{language}_{name}"
        self.database = server.create(self.name, EXAMPLES / "schema.sql")
        self.arguments = [servers, PREFIX, server.url(self.name), *([self.name] if language == "typescript" else [])]
        self.start()

    def start(self):
        self.process = Process(
            PLACE / f"run/{self.name}.log", *COMMANDS[self.language], *self.arguments, cwd=EXAMPLES / self.language
        )

    def in_transaction(self):
        """Whether the consumer has written something that it has not committed."""
        self.process.check()
        return self.database.execute(
            "SELECT FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL",
            (self.name,),
        ).fetchall()

    def kill(self):
        """Kills the process in the middle of its next transaction, and starts it again."""
        wait_until(f"{self.name} writes", self.in_transaction, interval=0.002)
        self.process.stop(signal.SIGKILL)
        self.start()

    def offsets(self):
        self.process.check()
        return dict(self.database.execute("SELECT partition_id, next_offset FROM event_offsets").fetchall())

    def table(self):
        cursor = self.database.execute("SELECT * FROM users")
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row)) for row in cursor]
        for row in rows:
            row["field_times"] = {name: datetime.fromisoformat(time) for name, time in row["field_times"].items()}
        return {row.pop("id"): row for row in rows}


def kill(consumers, write=lambda: None):
    """Kills each consumer in the middle of the transaction in which it applies what this writes."""
    with ThreadPoolExecutor(len(consumers)) as threads:
        kills = [threads.submit(consumer.kill) for consumer in consumers]
        write()
        for kill in kills:
            kill.result()


class Topics:
    """What the topics hold, read by this test."""

    def __init__(self, servers):
        group = {"bootstrap.servers": servers, "group.id": "idaas-bridge-state", "enable.auto.commit": False}
        self.admin = AdminClient({"bootstrap.servers": servers})
        self.consumer = Consumer(group | {"isolation.level": "read_committed", "enable.partition.eof": True})

    def ends(self, topic):
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return {at.partition: self.consumer.get_watermark_offsets(at)[1] for at in partitions}

    def is_materialized(self):
        committed = self.consumer.committed([TopicPartition(EVENTS, number) for number in range(PARTITIONS)])
        return all(at.offset == end or end == 0 for at, end in zip(committed, self.ends(EVENTS).values()))

    def records(self):
        """The records of the state topic."""
        self.consumer.assign([TopicPartition(STATES, number, 0) for number in range(PARTITIONS)])
        records, unread = [], set(range(PARTITIONS))
        while unread:
            for message in self.consumer.consume(1000, timeout=1):
                if message.error():
                    unread.discard(message.partition())
                else:
                    records.append(message)
        self.consumer.unassign()
        return records

    def states(self):
        """The values of the state topic by user id."""
        values = {record.key().decode(): record.value() for record in self.records()}
        return {id: json.loads(value) for id, value in values.items() if value is not None}

    def compact(self, write):
        """Makes the broker compact the state topic, except the active segment: what this writes begins a new one."""
        topic = ConfigResource(ConfigResource.Type.TOPIC, STATES)
        for name, value in {"segment.ms": "1", "min.cleanable.dirty.ratio": "0"}.items():
            topic.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
        self.admin.incremental_alter_configs([topic])[topic].result()
        write()
        wait_until("the state topic is compacted", self.is_compacted)

    def is_compacted(self):
        keys = [record.key() for record in self.records()]
        # The active segment has a few records of keys that come before, too.
        return len(keys) - len(set(keys)) < 40


def expected(states):
    """The table that follows from the state topic."""
    table = {}
    for id, value in states.items():
        newest = value["state"]["lastEventTime"]
        times = value["state"].get("fieldTimes", {})
        row = dict.fromkeys(COLUMNS) | {"last_event_time": datetime.fromisoformat(newest), "field_times": {}}
        for column, path in COLUMNS.items():
            *objects, name = path.split(".")
            owner = value["user"].get(objects[0], {}) if objects else value["user"]
            if name in owner:
                row[column] = owner[name]
                row["field_times"][column] = datetime.fromisoformat(times.get(path, newest))
        if row["account_expires_at"]:
            row["account_expires_at"] = datetime.fromisoformat(row["account_expires_at"])
        if row["organizational_units"]:
            row["organizational_units"] = [unit["id"] for unit in row["organizational_units"]]
        table[id] = row
    return table


def compare(topics, consumers):
    """Waits until everything is applied, and requires tables equal to the state topic. Returns it."""
    wait_until("all events are materialized", topics.is_materialized)
    ends = topics.ends(EVENTS)
    for consumer in consumers:
        wait_until(f"{consumer.name} has applied all events", lambda: consumer.offsets() == ends)
    table = expected(topics.states())
    for consumer in consumers:
        found = consumer.table()
        differing = {
            id: (found.get(id), table.get(id)) for id in found.keys() | table.keys() if found.get(id) != table.get(id)
        }
        for id, (row, right) in list(differing.items())[:5]:
            print(f"{consumer.name}, {id}:\n  {row}\nexpected:\n  {right}", file=sys.stderr)
        assert not differing, f"{consumer.name}: {len(differing)} of {len(table)} rows differ from the state topic"
    step(f"    tables equal to the state topic, of {len(table)} users: {len(consumers)}")
    return table


def bridge(command, *arguments):
    """Runs a command of the bridge to its end. Returns its output."""
    done = subprocess.run([PROGRAM, *command.split(), *arguments], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def configure(servers, ports):
    """Writes the configuration of a bridge with a simulated directory. Returns its path and the directory."""
    bridge("simulate init", PLACE / "run/staging")
    config = PLACE / "run/staging/bridge.toml"
    text = config.read_text()
    ids = dict(line.split(" = ") for line in text.splitlines() if line.startswith(("id =", "instance_id =")))
    directory = Directory(PLACE / "run", PROGRAM, 120, ids["id"].strip('"'), ids["instance_id"].strip('"'))
    for old, new in {
        "127.0.0.1:8080": f"127.0.0.1:{ports[0]}",
        "127.0.0.1:9464": f"127.0.0.1:{ports[1]}",
        "localhost:9092": servers,
        "partitions = 12": f"partitions = {PARTITIONS}",
        "[log]": f'[state]\ndirectory = "state"\nadmin_listen = "127.0.0.1:{ports[2]}"\n\n[log]',
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    secret = f'client_secret = {{ file = "{directory.secret}" }}'
    fetch = f'[application.fetch]\nendpoint = "{directory.endpoint}"\n{secret}\nrequests_per_second = 100\n'
    config.write_text(f"{text}\n{fetch}")
    return config, directory


def change_during_outage(directory):
    """Changes that no callback tells. Returns the ids of the users who are deleted, renamed and created."""
    deleted, renamed = directory.users()[:3], directory.users()[3:6]
    for id in deleted:
        directory.order("deleteUser", id=id)
    for id in renamed:
        directory.order("renameUser", id=id, displayName="Renamed In The Outage")
    created = [directory.order("createUser")["id"] for _ in range(2)]
    return deleted, renamed, created


def without_times(text):
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text.rstrip())


def shown_in_documentation():
    """What docs/repair.md says that the repair prints, except the note on stderr."""
    page = (ROOT / "docs/repair.md").read_text()
    block = page.split("fetch --config bridge.toml --details --verify-deletions\n")[1].split("```")[0]
    note, table = block.split("\n", 1)
    assert note.startswith("note: run "), note
    return without_times(table)


def main(languages):
    run = PLACE / "run"
    servers = start_kafka(run, os.environ["KAFKA_LIBRARIES"], ROOT / "tests/kafka/log4j2.properties")
    server, ports = PostgreSQL(run), free_ports(3)
    config, directory = configure(servers, ports)
    bridge("topics --create --config", config)
    materialize = Process(run / "materialize.log", PROGRAM, "materialize", "--config", config)
    serve = Process(run / "serve.log", PROGRAM, "serve", "--config", config)
    topics = Topics(servers)

    step("1. The directory is fetched; consumers are killed while they bootstrap")
    bridge("fetch --details --config", config)
    wait_until("all events are materialized", topics.is_materialized)
    consumers = [ExampleConsumer(language, server, servers, "first") for language in languages]
    kill(consumers)
    assert set(compare(topics, consumers)) == set(directory.users())

    step("2. Changes are lost in an outage of the bridge; a fetch repairs the state topic and the tables")
    serve.stop()
    deleted, renamed, created = change_during_outage(directory)
    serve = Process(run / "serve.log", PROGRAM, "serve", "--config", config)
    table = compare(topics, consumers)
    assert table.keys() >= set(deleted) and not table.keys() & set(created), "the changes were not lost"
    shown = bridge("fetch --details --verify-deletions --config", config)
    step(shown)
    assert without_times(shown) == shown_in_documentation(), "docs/repair.md shows another output"
    table = compare(topics, consumers)
    assert table.keys() == set(directory.users()) and table.keys() >= set(created) and not table.keys() & set(deleted)
    assert {table[id]["display_name"] for id in renamed} == {"Renamed In The Outage"}
    summary = json.loads(bridge("fetch --details --verify-deletions --dry-run --json --config", config))
    for kind, counts in summary["entities"].items():
        assert (counts["unchanged"], counts["missing"]) == (counts["read"], 0), f"{kind}: {counts}"

    step("3. Callbacks, late and repeated events, deletions; consumers are killed in the middle of transactions")
    send = ["--to", f"http://127.0.0.1:{ports[0]}", "--keys", config.parent, "--connections", "4", "--seed", "1"]
    bridge("simulate send --count 200 --fault duplicate", *send)
    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 5})
    events = Events(2, producer, EVENTS)
    for _ in range(3):
        kill(consumers, lambda: events.write(500))
    compare(topics, consumers)

    step("4. New consumers bootstrap from a compacted state topic with a history, and all follow")
    topics.compact(lambda: events.write(20))
    consumers += [ExampleConsumer(language, server, servers, "second") for language in languages]
    compare(topics, consumers)
    events.write(500)
    compare(topics, consumers)

    for process in [serve, materialize]:
        assert process.check().stop() == 0, process.log
    step(f"equal tables: {', '.join(languages)}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(sys.argv[1:])
