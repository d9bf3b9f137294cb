"""Validates YAML files against JSON Schemas: pairs of schema and file in, one JSON object of messages by file out.

Independent of alloy: PyYAML reads, jsonschema judges.
"""

import functools
import json
import sys

import jsonschema
import yaml


class Loader(yaml.SafeLoader):
    """YAML 1.2 has no dates."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@functools.cache
def validator(schema_path):
    """The judge by one schema. That a schema is one takes longer to see than that files fit it, so it is seen once."""
    with open(schema_path, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def validate(schema_path, path):
    try:
        with open(path, "rb") as file:
            value = yaml.load(file, Loader=Loader)
    except (yaml.YAMLError, UnicodeError) as error:
        return [f"not YAML: {error}"]
    errors = validator(schema_path).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in errors]


pairs = zip(sys.argv[1::2], sys.argv[2::2])
print(json.dumps({path: validate(schema, path) for schema, path in pairs}))
