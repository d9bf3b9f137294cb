//! The schema of a user's configuration, `config.yml`: who this user is to servers of downloads.

use serde_json::{Value, json};

use super::{described, text};

/// `config.yml`.
pub(super) fn config() -> Value {
    let one_value = ["value", "value_env", "value_file"].map(|field| json!({"required": [field]}));
    let header = json!({
        "type": "object",
        "required": ["host", "name"],
        "oneOf": one_value,
        "properties": {
            "host": described(json!({"type": "string", "minLength": 1}), "The server, with its port if it has one of its own"),
            "name": described(json!({"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}), "The header's name"),
            "value": described(text(), "Its value; `$NAME` and `${NAME}` in it are variables of the environment"),
            "value_env": described(json!({"type": "string", "minLength": 1}), "The variable of the environment that has it"),
            "value_file": described(json!({"type": "string", "minLength": 1}), "The file that has it"),
        },
        "additionalProperties": false,
    });
    let headers = json!({"type": ["array", "null"], "items": header});
    let downloads = json!({
        "type": ["object", "null"],
        "properties": {"headers": described(headers, "Headers, each for the requests to one server")},
        "additionalProperties": false,
    });
    json!({
        "title": "alloy configuration",
        "type": ["object", "null"],
        "properties": {"downloads": described(downloads, "What downloads are asked for with")},
        "additionalProperties": false,
    })
}
