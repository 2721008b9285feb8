"""A consumer that keeps a directory of its own up to date: what every consumer has to do, and nothing else.

    pip install cloudevents==2.2.0 confluent-kafka==2.16.1
    python3 examples/consumer.py localhost:9092 idaas.user.v1

The directory is in memory here. In a real application the directory and the identities of the events belong into one
database, and one transaction applies an event and stores its identity.
"""

import sys
from datetime import datetime, timedelta, timezone

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat

SEVEN_DAYS = timedelta(days=7)
EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


def read(headers, value, timestamp):
    """Reads a record in binary or structured mode. Returns its identity, its time and its data."""
    message = KafkaMessage(headers=dict(headers), key=None, value=value)
    structured = message.headers.get("content-type", b"").lower().startswith(b"application/cloudevents+json")
    event = (from_structured if structured else from_binary)(message, JSONFormat())
    time = event.get_time() or datetime.fromtimestamp(timestamp / 1000, timezone.utc)
    # The two together: the same id can be sent to several applications.
    return (event.get_source(), event.get_id()), time, event.get_data()


class Directory:
    """The users as events tell of them, merged so that a late or repeated event does no harm."""

    def __init__(self):
        self.users = {}  # user id -> {(group, name): (value, time of the event that set it)}
        self.deleted = {}  # user id -> time; remembered for seven days
        self.applied = set()

    def apply(self, identity, time, data):
        user = data.get("user")
        if not isinstance(user, dict):
            return "foreign"
        if identity in self.applied:
            return "repeated"
        self.applied.add(identity)
        self.deleted = {id: at for id, at in self.deleted.items() if time - at < SEVEN_DAYS}
        id, action = user["id"], data["action"]
        newest = max((at for _, at in self.users.get(id, {}).values()), default=EARLIEST)
        if time <= self.deleted.get(id, EARLIEST) or (action == "deleted" and time < newest):
            return "late"
        if action == "deleted":
            self.users.pop(id, None)
            self.deleted[id] = time
            return "applied"
        # Whatever the action, the fields count. enabled and disabled say the status by themselves.
        if action in ("enabled", "disabled"):
            user = {"status": action, **user}
        for name, value in user.items():
            # Members of email, phone and source one by one, lists as a whole.
            if isinstance(value, dict):
                for member, inner in value.items():
                    self.set(id, name, member, inner, time)
            else:
                self.set(id, "", name, value, time)
        for name, value in data.get("additional", {}).items():
            self.set(id, "additional", name, value, time)
        return "applied"

    def set(self, id, group, name, value, time):
        """The last writer wins, by the time of the event and not by its arrival."""
        fields = self.users.setdefault(id, {})
        if fields.get((group, name), (None, EARLIEST))[1] <= time:
            fields[group, name] = value, time

    def user(self, id):
        """A user as known now, in the form of the record."""
        user = {}
        for (group, name), (value, _) in self.users[id].items():
            (user.setdefault(group, {}) if group else user)[name] = value
        return user


def main(servers="localhost:9092", topic="idaas.user.v1"):
    from confluent_kafka import Consumer, KafkaException

    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": "example-directory",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    })
    consumer.subscribe([topic])
    directory = Directory()
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            identity, time, data = read(message.headers() or [], message.value(), message.timestamp()[1])
            outcome = directory.apply(identity, time, data)
            print(*identity, outcome, f"({len(directory.users)} users)", flush=True)
            # Only now: an event that was not applied comes again.
            consumer.commit(message)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
