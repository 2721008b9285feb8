"""The consumer of examples/: it reads both modes, and merges by the rules that docs/consumers.md gives.

The cases are those of tests/suite/examples.rs.
"""

import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

from consumer import Directory, read  # noqa: E402


def read_record(record, structured):
    """The event of a case's record, as read from Kafka in binary or structured mode."""
    attributes = {"specversion": "1.0", "type": "com.alibabacloud.idaas.user.updated.v1"}
    attributes |= {name: record[name] for name in ("id", "source", "time") if record.get(name)}
    if structured:
        value = {"datacontenttype": "application/json", "data": record["data"], **attributes}
        headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    else:
        value = record["data"]
        headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
        headers.append(("content-type", b"application/json"))
    return read(headers, json.dumps(value).encode(), record.get("timestamp", 0))


class ConsumerTest(unittest.TestCase):
    def test_events_are_merged_by_the_rules(self):
        for case in json.loads((ROOT / "tests/fixtures/merge/users.json").read_text()):
            for structured in (False, True):
                with self.subTest(case["name"], structured=structured):
                    directory = Directory()
                    outcomes = [directory.apply(*read_record(record, structured)) for record in case["records"]]
                    self.assertEqual(outcomes, case["outcomes"])
                    self.assertEqual({id: directory.user(id) for id in directory.users}, case["users"])


if __name__ == "__main__":
    unittest.main()
