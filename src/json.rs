//! Values of alloy's own as JSON.
//!
//! What is written is kept under its digest, signed, or compared with what somebody else has written: bytes that are not
//! all of the value would be a lie with a digest. None of alloy's types has keys that are no text, or a `Serialize` that
//! fails, which are all that can go wrong (`serde_json::to_vec`): if one ever has, that is a fault of alloy's, and ends it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The JSON of `value`: fields in the order of their type, maps sorted, nothing between tokens.
///
/// # Panics
///
/// If the type of `value` cannot be written as JSON.
pub fn bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    whole(serde_json::to_vec(value))
}

/// The same for people, with lines and indentation.
///
/// # Panics
///
/// As [`bytes`].
pub fn pretty<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    whole(serde_json::to_vec_pretty(value))
}

/// The same as text.
///
/// # Panics
///
/// As [`bytes`].
pub fn text<T: Serialize + ?Sized>(value: &T) -> String {
    whole(serde_json::to_string(value))
}

/// The same as a value.
///
/// # Panics
///
/// As [`bytes`].
pub fn value<T: Serialize + ?Sized>(value: &T) -> Value {
    whole(serde_json::to_value(value))
}

/// The JSON of `value` with the keys of every object sorted, whoever has made it.
///
/// # Panics
///
/// As [`bytes`].
pub fn canonical(value: &Value) -> Vec<u8> {
    bytes(&sorted(value))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries: BTreeMap<String, Value> = map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[expect(clippy::panic, reason = "less than the value must not be kept in its place")]
fn whole<T>(written: serde_json::Result<T>) -> T {
    written.unwrap_or_else(|error| panic!("a value of alloy's own is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_all_the_way_down() {
        let value: Value = serde_json::from_str(r#"{"b": [{"d": 1, "c": 2}], "a": "x"}"#).unwrap();
        assert_eq!(canonical(&value), br#"{"a":"x","b":[{"c":2,"d":1}]}"#);
    }

    #[test]
    #[should_panic(expected = "no JSON")]
    fn less_than_the_value_is_never_written() {
        bytes(&BTreeMap::from([((1, 2), 3)]));
    }
}
