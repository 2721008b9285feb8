"""Events of users with random order, times, fields and repetitions, in favor of what is hard to merge."""

import json
import random
from datetime import datetime, timedelta, timezone

ACTIONS = [
    "created",
    "updated",
    "updated",
    "updated",
    "moved",
    "enabled",
    "disabled",
    "locked",
    "snapshot",
    "deleted",
    "later",
]


def text(time):
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Events:
    """Writes events with that seed to the event topic, about a few users so that events of each of them meet."""

    def __init__(self, seed, producer, topic):
        self.random = random.Random(seed)
        self.producer, self.topic = producer, topic
        self.begin = datetime.now(timezone.utc) - timedelta(days=2)
        self.written = []

    def write(self, count, users=40):
        """Writes events. Their times go forward on the whole; many are late, and some are written twice."""
        for _ in range(count):
            number = len(self.written)
            record = self.record(number, f"user_{self.random.randrange(users):03}")
            self.written.append(record)
            self.produce(record)
            if self.random.random() < 0.15:
                self.produce(self.random.choice(self.written[-200:]))
        assert self.producer.flush(60) == 0

    def produce(self, record):
        self.producer.produce(self.topic, **record)
        self.producer.poll(0)

    def record(self, number, id):
        pick = self.random
        # A step forward for each event, and back by up to a hundred of them.
        late = pick.choice([0, 0, 0, pick.randrange(1, 20), pick.randrange(100)])
        time = self.begin + timedelta(seconds=10 * (number - late))
        action = pick.choice(ACTIONS)
        user = {"id": id} | (self.fields(number, time) if action != "deleted" else {})
        cleared = [path for path, value in leaves(user) if value is None]
        event_id, source = f"evnt_{number:06}", "/idaas/idaas_random/app_random"
        data = {
            "schemaVersion": "1.0",
            "action": action,
            "user": user,
            **({"cleared": cleared} if cleared else {}),
            "additional": {"later": number},
            "origin": {
                "eventId": event_id,
                "eventType": f"urn:alibaba:idaas:app:event:ud:user:{action}",
                "eventTime": text(time),
                "instanceId": "idaas_random",
                "applicationId": "app_random",
                "receivedAt": text(datetime.now(timezone.utc)),
            },
        }
        attributes = {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "subject": id,
            "time": text(time),
            "partitionkey": id,
            "type": f"com.alibabacloud.idaas.user.{action}.v1",
            "dataschema": "urn:idaas-bridge:schema:user:v1",
        }
        record = {"key": id}
        if pick.random() < 0.05:  # IDaaS sent no time that is a number: the timestamp of the record counts.
            del data["origin"]["eventTime"], attributes["time"]
            record["timestamp"] = round(time.timestamp() * 1000)
        if pick.random() < 0.1:  # The operator can choose structured mode.
            value = {**attributes, "datacontenttype": "application/json", "data": data}
            headers = [("content-type", "application/cloudevents+json; charset=UTF-8")]
        else:
            value = data
            headers = [(f"ce_{name}", text) for name, text in attributes.items()] + [
                ("content-type", "application/json")
            ]
        return record | {"value": json.dumps(value, ensure_ascii=False), "headers": headers}

    def fields(self, number, time):
        """Some of the fields: values, nulls, empty lists, parts of objects."""
        pick = self.random
        some = lambda *values: pick.choice([None, *values])
        user = {
            "username": some(f"name{number}", f"女{number}"),
            "displayName": some(f"Name {number}"),
            "status": some("enabled", "disabled", "pending"),
            "description": some("not in the table"),
            "organizationalUnits": some(
                [], [{"id": "ou_1", "primary": True}], [{"id": "ou_1"}, {"id": f"ou_{number}"}]
            ),
            "accountExpiresAt": some(text(time + timedelta(days=90)), "9999-12-31T23:59:59.999Z"),
        }
        user = {name: value for name, value in user.items() if pick.random() < 0.4}
        email = {"address": some(f"{number}@example.com"), "verified": some(True, False)}
        phone = {"region": some("86"), "number": some(f"155{number}"), "verified": some(True)}
        for name, whole in ("email", email), ("phone", phone):
            part = {name: value for name, value in whole.items() if pick.random() < 0.4}
            if part:
                user[name] = part
        return user


def leaves(user, prefix=""):
    for name, value in user.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
