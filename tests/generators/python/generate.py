"""Writes the types of each schema, as the command `datamodel-codegen` does, in one process."""

import sys

from datamodel_code_generator.__main__ import Exit, main

schemas, entities = sys.argv[1], sys.argv[2:]
for entity in entities:
    code = main(
        ["--input", f"{schemas}/{entity}.schema.json", "--input-file-type", "jsonschema"]
        + ["--output-model-type", "pydantic_v2.BaseModel", "--formatters", "builtin"]
        + ["--output", f"{entity.replace('-', '_')}.py"]
    )
    if code != Exit.OK:
        sys.exit(f"{entity}: {code}")
