"""Reads every example with the types that datamodel-code-generator makes: names and plain texts as promised."""

import importlib
import pathlib
import sys

examples, entities = pathlib.Path(sys.argv[1]), sys.argv[2:]
for entity in entities:
    module = importlib.import_module(entity.replace("-", "_"))
    suffix = "" if entity.endswith("-state") else "Event"
    root = getattr(module, "".join(word.capitalize() for word in entity.split("-")) + suffix)
    files = sorted((examples / entity).glob("*.json"))
    assert files, entity
    for file in files:
        event = root.model_validate_json(file.read_text())
        if entity == "user":
            assert type(event.user) is module.User and type(event.origin) is module.Origin
            assert {type(event.user.id), type(event.origin.eventId)} == {str}
            assert type(event.user.username) in (str, type(None))
user = importlib.import_module("user")
assert user.User.model_fields["username"].annotation == str | None
print("Python: datamodel-code-generator")
