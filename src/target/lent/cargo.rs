//! Where this site's crates come from: the tables of cargo's configuration (The Cargo Book, "Configuration") that say
//! how to reach registries. What says how to compile is the image's affair, and tokens are nobody's but their owner's.

/// Tables that count.
const TABLES: [&str; 5] = ["http", "net", "registries", "registry", "source"];

/// Keys in them that do not: secrets, and paths of the machine.
const NOT: [&str; 5] = ["cainfo", "credential-provider", "global-credential-providers", "secret-key", "token"];

/// What of a configuration file counts; `None` if nothing does.
pub fn registries(text: &str) -> Option<String> {
    let mut kept = String::new();
    let mut table: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        let header = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next());
        if let Some(header) = header.filter(|_| !trimmed.contains('=')) {
            table = Some(first_key(header));
        }
        let key = trimmed.split_once('=').map(|(key, _)| key.trim());
        let of = table.clone().or_else(|| key.map(first_key)).unwrap_or_default();
        let last = key.and_then(|key| key.rsplit('.').next()).unwrap_or_default();
        if TABLES.contains(&of.as_str()) && !NOT.contains(&last) {
            kept += line;
            kept.push('\n');
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// The first of the keys that dots join.
fn first_key(keys: &str) -> String {
    keys.trim_start_matches('[').split('.').next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_without_their_tokens() {
        let text = "net.retry = 3\nterm.verbose = true\n[build]\nrustflags = [\"-C\", \"target-cpu=native\"]\n\
                    [source.crates-io]\nreplace-with = 'site'\n[source.\"site\"]\nregistry = \"sparse+https://a.example/\"\n\
                    [registries.site]\nindex = 'x'\ntoken = \"secret\"\n[target.'cfg(all())']\nlinker = 'ld'\n";
        let expected = "net.retry = 3\n[source.crates-io]\nreplace-with = 'site'\n[source.\"site\"]\n\
                        registry = \"sparse+https://a.example/\"\n[registries.site]\nindex = 'x'\n";
        assert_eq!(registries(text).unwrap(), expected);
        assert_eq!(registries("[build]\njobs = 2\n"), None);
    }
}
