//! Configs and manifests compared, field by field.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layers::tree::Difference;
use serde_json::Value;

/// Fields that are about layers: layers are compared by themselves.
const OF_LAYERS: [&str; 4] = ["rootfs.diff_ids", "layers", "config.digest", "config.size"];

/// Differences of two JSON documents; `what` stands for the path.
pub(super) fn compare(what: &str, left: &Value, right: &Value) -> Vec<Difference> {
    let (left, right) = (flat(left), flat(right));
    let mut fields: Vec<&String> = left.keys().chain(right.keys()).collect();
    fields.sort_unstable();
    fields.dedup();
    let say = |value: Option<&String>| value.cloned().unwrap_or_else(|| "absent".to_owned());
    let difference = |field: &&String| Difference {
        path: PathBuf::from(what),
        field: (*field).clone(),
        left: say(left.get(*field)),
        right: say(right.get(*field)),
    };
    fields.iter().map(difference).filter(|difference| difference.left != difference.right).collect()
}

fn flat(value: &Value) -> BTreeMap<String, String> {
    fn walk(value: &Value, path: &str, into: &mut BTreeMap<String, String>) {
        if OF_LAYERS.contains(&path) {
            return;
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(value, &path, into);
                }
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{path}[{index}]"), into));
            }
            scalar => drop(into.insert(path.to_owned(), scalar.to_string())),
        }
    }
    let mut fields = BTreeMap::new();
    walk(value, "", &mut fields);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_named_by_their_place() {
        let left = json!({"config": {"Env": ["A=1", "B=2"]}, "rootfs": {"diff_ids": ["x"]}, "os": "linux"});
        let right =
            json!({"config": {"Env": ["A=1", "B=3"], "User": "dev"}, "rootfs": {"diff_ids": ["y"]}, "os": "linux"});
        let found = compare("config", &left, &right);
        let told: Vec<_> = found.iter().map(|d| (d.field.as_str(), d.left.as_str(), d.right.as_str())).collect();
        assert_eq!(told, [("config.Env[1]", "\"B=2\"", "\"B=3\""), ("config.User", "absent", "\"dev\"")]);
        assert!(compare("config", &left, &left).is_empty());
    }
}
