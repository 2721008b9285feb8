"""The same consumer as consumer.rs, in Python: pip install confluent-kafka; python3 examples/consumer.py localhost:9092 idaas.user.v1

Here the directory and the ids are in memory. In earnest, both belong into one database: apply the event and remember
its id in the same transaction, and only then commit the offset.
"""

import json
import sys

from confluent_kafka import Consumer, KafkaException

servers, topic = (sys.argv[1:] + ["localhost:9092", "idaas.user.v1"][len(sys.argv) - 1:])[:2]
consumer = Consumer({
    "bootstrap.servers": servers,
    "group.id": "example-directory",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
})
consumer.subscribe([topic])
directory, seen = {}, set()


def apply(event):
    user = event["user"]
    if event["action"] == "deleted":
        directory.pop(user["id"], None)
        return
    # Whatever the action, also one that is added later: what is there counts, what is absent stays as it was.
    known = directory.setdefault(user["id"], {})
    for name, value in user.items():
        if value is None:
            known.pop(name, None)
        else:
            known[name] = value


try:
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        event_id = dict(message.headers() or []).get("ce_id", b"").decode()
        # Delivery is at least once: the same event can come twice, and always has the same id.
        if event_id not in seen:
            event = json.loads(message.value())
            apply(event)
            seen.add(event_id)
            print(event_id, event["action"], event["user"]["id"], f"({len(directory)} users)", flush=True)
        consumer.commit(message)
except KeyboardInterrupt:
    pass
finally:
    consumer.close()
