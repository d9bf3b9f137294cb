//! Where this site's crates come from: the keys of cargo's configuration (The Cargo Book, "Configuration") that say how
//! to reach registries. What says how to compile is the image's affair, and tokens are nobody's but their owner's: what
//! is not named here is left out, however it is written.

use toml::{Table, Value};

use crate::op::without_userinfo;

/// What cargo calls the public registry.
const PUBLIC: &str = "crates-io";

/// Keys that count, of tables with a fixed name.
const KEYS: [(&str, &[&str]); 3] = [
    ("http", &["check-revoke", "low-speed-limit", "multiplexing", "proxy", "ssl-version", "timeout"]),
    ("net", &["git-fetch-with-cli", "offline", "retry"]),
    ("registry", &["default", "index"]),
];

/// Keys that count of each of several tables.
const NAMED: [(&str, &[&str]); 2] = [
    ("registries", &["index", "protocol"]),
    ("source", &["branch", "directory", "git", "local-registry", "registry", "replace-with", "rev", "tag"]),
];

/// What of a configuration file counts; `None` if nothing does.
pub fn registries(text: &str) -> Option<String> {
    let all: Table = text.parse().ok()?;
    let table = |name: &str| all.get(name).and_then(Value::as_table);
    let mut kept = String::new();
    for (name, keys) in KEYS {
        table(name).into_iter().for_each(|table| kept += &lines(name, table, keys));
    }
    for (name, keys) in NAMED {
        for (of, value) in table(name).into_iter().flatten() {
            value
                .as_table()
                .into_iter()
                .for_each(|table| kept += &lines(&format!("{name}.{}", text_of(of)), table, keys));
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// The index that crates of the public registry come from, where such a configuration says so: cargo calls that to
/// replace a source. `Err` says what it is replaced with where that is no index that can be asked, and that another
/// registry is the default, which has other crates by the same names.
pub fn index(text: &str) -> Result<Option<String>, String> {
    let all: Table = text.parse().unwrap_or_default();
    let default = all.get("registry").and_then(|registry| registry.get("default")).and_then(Value::as_str);
    if let Some(default) = default.filter(|default| *default != PUBLIC) {
        return Err(format!(
            "cargo's configuration takes crates from the registry `{default}` by default, and alloy pins crates of \
             `{PUBLIC}` alone, and of what replaces it (`source.{PUBLIC}.replace-with`)"
        ));
    }
    let source = |name: &str| all.get("source").and_then(|all| all.get(name));
    let mut at = PUBLIC.to_owned();
    // A chain that ends nowhere is cargo's to complain of.
    for _ in 0..8 {
        let Some(found) = source(&at) else { return Ok(None) };
        if let Some(next) = found.get("replace-with").and_then(Value::as_str) {
            next.clone_into(&mut at);
            continue;
        }
        let registry = found.get("registry").and_then(Value::as_str);
        return match registry.and_then(|registry| registry.strip_prefix("sparse+")) {
            Some(index) => Ok(Some(format!("{}/", index.trim_end_matches('/')))),
            None if at == PUBLIC => Ok(None),
            None => Err(format!("cargo's configuration takes crates from `{at}`, which is no sparse index")),
        };
    }
    Ok(None)
}

/// The `keys` of a table, below its header.
fn lines(header: &str, table: &Table, keys: &[&str]) -> String {
    let known = table.iter().filter(|(key, _)| keys.contains(&key.as_str()));
    let values = known.filter_map(|(key, value)| {
        let value = match value {
            Value::String(text) => text_of(&without_userinfo(text, key == "proxy")),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            _ => return None,
        };
        Some(format!("{key} = {value}\n"))
    });
    let values: String = values.collect();
    if values.is_empty() { values } else { format!("[{header}]\n{values}") }
}

/// A basic string (TOML 1.0, "String"): JSON's escapes are among its own.
fn text_of(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_come_from_what_replaces_their_registry() {
        let own = "[source.crates-io]\nreplace-with = 'a'\n[source.a]\nreplace-with = 'b'\n";
        let sparse = format!("{own}[source.b]\nregistry = 'sparse+https://m.example/index'\n");
        assert_eq!(index(&sparse).unwrap().as_deref(), Some("https://m.example/index/"));
        assert_eq!(index("").unwrap(), None);
        let corp = "[registry]\ndefault = 'corp'\n[registries.corp]\nindex = 'sparse+https://corp.example/'\n";
        assert!(index(corp).unwrap_err().contains("from the registry `corp` by default"), "it has other crates");
        assert_eq!(index("[registry]\ndefault = 'crates-io'\n").unwrap(), None);
        assert!(index(&format!("{own}[source.b]\ndirectory = '/srv/vendor'\n")).unwrap_err().contains("`b`"));
    }

    #[test]
    fn registries_without_their_tokens() {
        let text = "net.retry = 3\nterm.verbose = true\n[build]\nrustflags = [\"-C\", \"target-cpu=native\"]\n\
                    [source.crates-io]\nreplace-with = 'site'\n[source.\"site\"]\nregistry = \"sparse+https://a.example/\"\n\
                    [registries.site]\nindex = 'x'\ntoken = \"secret\"\n[target.'cfg(all())']\nlinker = 'ld'\n";
        let expected = "[net]\nretry = 3\n[registries.\"site\"]\nindex = \"x\"\n[source.\"crates-io\"]\n\
                        replace-with = \"site\"\n[source.\"site\"]\nregistry = \"sparse+https://a.example/\"\n";
        assert_eq!(registries(text).unwrap(), expected);
        assert_eq!(registries("[build]\njobs = 2\n"), None);
    }

    #[test]
    fn a_password_holds_what_it_likes() {
        for url in [
            "sparse+https://ann:carg,W0rd@a.example/i",
            "https://ann:carg=W0rd@a.example/i",
            "https://ann:carg W0rd@a.example/i",
            "https://ann:carg/W0rd@a.example/i",
            "ann:W0rd@a.example:x.git",
            "//ann:W0rd@a.example",
        ] {
            let kept =
                registries(&format!("[registries.a]\nindex = \"{url}\"\n[source.b]\ngit = \"{url}\"\n")).unwrap();
            assert!(!kept.contains("W0rd") && kept.matches("a.example").count() == 2, "{kept}");
        }
        for proxy in ["ann:W0rd@proxy:3128", "W0rd@proxy:3128", "socks5://ann:W0rd@proxy:3128"] {
            let kept = registries(&format!("http.proxy = \"{proxy}\"\n")).unwrap();
            assert!(!kept.contains("W0rd") && kept.contains("proxy:3128"), "{kept}");
        }
        let git = "[source.b]\ngit = \"ssh://git@a.example/x\"\n";
        assert!(registries(git).unwrap().contains("ssh://git@a.example/x"));
    }

    #[test]
    fn no_spelling_of_a_secret_is_lent() {
        let text = "registry.token = 'hunter2'\n\
                    registry = {\"default\" = 'corp', 'token' = 'hunter2'}\n";
        assert_eq!(registries(text), None, "cargo does not take this either");
        let text = "[registries]\n\
                    corp = {index = \"sparse+https://ann:hunter2@a.example/i/\", token = \"hunter2\"}\n\
                    \"quoted\" = {\"index\" = 'https://b.example', \"token\" = '''hunter2'''}\n\
                    dotted.token = \"hunter2\"\ndotted.\"credential-provider\" = [\"x\", \"hunter2\"]\ndotted.index = 'c'\n\
                    [http]\nproxy = \"http://ann:hunter2@p.example:3128\"\ntimeout = 5\n\
                    [source.site]\nregistry = 'https://hunter2@d.example/'\n[credential-alias]\nx = ['hunter2']\n";
        let kept = registries(text).unwrap();
        assert!(!kept.contains("hunter2"), "{kept}");
        for part in ["sparse+https://a.example/i/", "https://b.example", "p.example:3128", "timeout = 5", "\"c\""] {
            assert!(kept.contains(part), "{part}: {kept}");
        }
        assert!(kept.parse::<Table>().is_ok(), "{kept}");
    }
}
