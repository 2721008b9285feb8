"""Keeps the table `users` in step with the directory: bootstraps from the state topic, then follows the event topic.

Usage: consumer.py BOOTSTRAP_SERVERS PREFIX DATABASE_URL
"""

import sys
from datetime import datetime, timedelta, timezone
from functools import reduce

import psycopg
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from user import User, UserEvent
from user_state import UserState

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


def fields(user):
    """Yields column, path and value of each field that the record carries. None clears it; absent ones are left out."""
    for column, path in COLUMNS.items():
        *objects, name = path.split(".")
        owner = reduce(getattr, objects, user)
        if owner is not None and name in owner.model_fields_set:
            value = getattr(owner, name)
            yield column, path, [unit.id for unit in value] if isinstance(value, list) else value


class Table:
    """The merge rules, in SQL. The caller commits."""

    def __init__(self, database):
        self.database = database

    def upsert(self, id, time):
        """Records the time of an event, and creates the user if it is new.

        Returns False if the user was deleted at that time or later.
        """
        upserted = self.database.execute(
            """INSERT INTO users (id, last_event_time) SELECT %(id)s, %(time)s
               WHERE NOT EXISTS (SELECT FROM deleted_users WHERE id = %(id)s AND deleted_at >= %(time)s)
               ON CONFLICT (id) DO UPDATE
               SET last_event_time = greatest(users.last_event_time, EXCLUDED.last_event_time)""",
            {"id": id, "time": time},
        )
        return upserted.rowcount == 1

    def set(self, id, column, value, time):
        """Sets a field, unless a newer event has set it: the last writer wins, by the time of the event."""
        self.database.execute(
            f"""UPDATE users SET {column} = %(value)s,
                    field_times = field_times || jsonb_build_object('{column}', %(time)s::timestamptz)
                WHERE id = %(id)s AND coalesce((field_times ->> '{column}')::timestamptz, '-infinity') <= %(time)s""",
            {"id": id, "value": value, "time": time},
        )

    def delete(self, id, time):
        """Deletes a user and remembers it, unless something newer is known."""
        self.database.execute("DELETE FROM users WHERE id = %s AND last_event_time <= %s", (id, time))
        self.database.execute(
            """INSERT INTO deleted_users SELECT %(id)s, %(time)s WHERE NOT EXISTS (SELECT FROM users WHERE id = %(id)s)
               ON CONFLICT (id) DO UPDATE SET deleted_at = greatest(deleted_users.deleted_at, EXCLUDED.deleted_at)""",
            {"id": id, "time": time},
        )

    def is_new(self, source, id):
        """Records the identity of an event. Returns False if the event was applied before."""
        inserted = self.database.execute(
            "INSERT INTO applied_events (source, id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (source, id)
        )
        return inserted.rowcount == 1

    def forget(self):
        """Forgets deletions and identities after seven days."""
        self.database.execute("DELETE FROM deleted_users WHERE deleted_at < now() - interval '7 days'")
        self.database.execute("DELETE FROM applied_events WHERE applied_at < now() - interval '7 days'")

    def store_offset(self, partition, offset):
        self.database.execute(
            """INSERT INTO event_offsets VALUES (%s, %s)
               ON CONFLICT (partition_id) DO UPDATE SET next_offset = EXCLUDED.next_offset""",
            (partition, offset),
        )


def apply_state(table, message):
    """Applies a record of the state topic. A record without a value is a deletion."""
    if message.value() is None:
        time = dict(message.headers())["ce_time"].decode()
        return table.delete(message.key().decode(), datetime.fromisoformat(time))
    record = UserState.model_validate_json(message.value())
    id, state = record.user.id, record.state
    if state.lastDeletionTime:
        table.delete(id, state.lastDeletionTime)
    table.upsert(id, state.lastEventTime)
    times = state.fieldTimes or {}
    for column, path, value in fields(record.user):
        table.set(id, column, value, times.get(path, state.lastEventTime))


def apply_event(table, message):
    """Applies a record of the event topic."""
    headers = dict(message.headers() or [])
    structured = headers.get("content-type", b"").startswith(b"application/cloudevents+json")
    event = (from_structured if structured else from_binary)(KafkaMessage(headers, None, message.value()), JSONFormat())
    record = UserEvent.model_validate(event.get_data())
    user = record.user
    # Equal to ce_time. If there is none, the SDK would give the current time.
    time = record.origin.eventTime or datetime.fromtimestamp(message.timestamp()[1] / 1000, timezone.utc)
    if not table.is_new(event.get_source(), event.get_id()):
        return
    if record.action == "deleted":
        return table.delete(user.id, time)
    if record.action in ("enabled", "disabled") and "status" not in user.model_fields_set:
        user.status = record.action
    if table.upsert(user.id, time):
        for column, _, value in fields(user):
            table.set(user.id, column, value, time)


def partitions(consumer, topic):
    metadata = consumer.list_topics(topic, timeout=30).topics[topic]
    if metadata.error:
        raise KafkaException(metadata.error)
    return list(metadata.partitions)


def bootstrap(database, table, consumer, states, events):
    """Fills the tables from the state topic, in one transaction with the offsets at which to follow the events."""
    # Events of the last seven days. Those that the state includes change nothing.
    since = int((datetime.now(timezone.utc) - timedelta(days=7)).timestamp() * 1000)
    ends = {p: consumer.get_watermark_offsets(TopicPartition(events, p))[1] for p in partitions(consumer, events)}
    starts = consumer.offsets_for_times([TopicPartition(events, p, since) for p in ends], timeout=30)
    unread = set(partitions(consumer, states))
    consumer.assign([TopicPartition(states, p, OFFSET_BEGINNING) for p in unread])
    with database.transaction():
        database.execute("TRUNCATE users, deleted_users, applied_events")
        for start in starts:
            # A negative offset: there is no event in these seven days.
            end = ends[start.partition]
            table.store_offset(start.partition, min(start.offset, end) if start.offset >= 0 else end)
        while unread:
            for message in consumer.consume(500, timeout=1):
                if message.error() is None:
                    apply_state(table, message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                else:
                    raise KafkaException(message.error())


def follow(database, table, consumer, events):
    """Applies events without end. A transaction has the events and their offsets."""
    offsets = database.execute("SELECT partition_id, next_offset FROM event_offsets").fetchall()
    consumer.assign([TopicPartition(events, *row) for row in offsets])
    while True:
        messages = consumer.consume(500, timeout=1)
        with database.transaction():
            for message in messages:
                if message.error() is None:
                    apply_event(table, message)
                    table.store_offset(message.partition(), message.offset() + 1)
                elif message.error().code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(message.error())
            table.forget()


def main(servers, prefix, url):
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{prefix}-users",  # Required by the client; the offsets are in the database.
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            # Events between the stored offset and the oldest one in the topic are lost: bootstrap again.
            "auto.offset.reset": "error",
        }
    )
    with psycopg.connect(url, autocommit=True) as database:
        # One process at a time; others wait. The lock ends with the connection that writes.
        database.execute("SELECT pg_advisory_lock(hashtext('users'))")
        table = Table(database)
        if not database.execute("SELECT FROM event_offsets LIMIT 1").fetchall():
            bootstrap(database, table, consumer, f"{prefix}.user.state.v1", f"{prefix}.user.v1")
            print("bootstrapped", flush=True)
        follow(database, table, consumer, f"{prefix}.user.v1")


if __name__ == "__main__":
    main(*sys.argv[1:])
