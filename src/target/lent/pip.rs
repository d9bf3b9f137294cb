//! Where this site's Python packages come from: pip's variables, and its configuration files (pip documentation,
//! "Configuration"). Of a file, what says how to reach packages; what says where to install them is the image's affair.

use std::collections::BTreeMap;

use crate::fetch::{Login, taken_apart};

/// Options that count, as configuration files name them.
const OPTIONS: [&str; 6] = ["index-url", "extra-index-url", "trusted-host", "find-links", "timeout", "retries"];

/// Variables that stand for several values.
pub const LISTS: [&str; 3] = ["PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST"];

/// Variables with what the environment says, else what `files` say, the most particular first.
pub fn variables(var: impl Fn(&str) -> Option<String>, files: &[String]) -> BTreeMap<String, String> {
    let configured: Vec<_> = files.iter().map(|text| options(text)).collect();
    let variable = |option: &str| {
        let name = format!("PIP_{}", option.replace('-', "_").to_uppercase());
        let value = var(&name).filter(|value| !value.is_empty());
        let value = value.or_else(|| configured.iter().find_map(|file| file.get(option).cloned()))?;
        Some((name, value))
    };
    OPTIONS.into_iter().filter_map(variable).collect()
}

/// Users and passwords of indexes. Files of an index may lie anywhere on its server.
pub fn logins(variables: &BTreeMap<String, String>) -> Vec<Login> {
    let indexes = variables.iter().filter(|(name, _)| name.ends_with("INDEX_URL"));
    let urls = indexes.flat_map(|(_, value)| value.split_whitespace());
    let logins = urls.filter_map(|url| taken_apart(url).1).map(|login| {
        let end = login.place.find("://").and_then(|at| Some(at + 3 + login.place[at + 3..].find('/')?));
        Login { place: login.place[..end.unwrap_or(login.place.len())].to_owned(), ..login }
    });
    logins.collect()
}

/// The line of a configuration file that stands for a variable.
pub fn option(variable: &str, value: &str) -> String {
    let name = variable.trim_start_matches("PIP_").to_ascii_lowercase().replace('_', "-");
    if !LISTS.contains(&variable) {
        return format!("{name} = {value}\n");
    }
    // Several values are on indented lines.
    format!("{name} = {}\n", value.split_whitespace().collect::<Vec<_>>().join("\n    "))
}

/// The options of a file that are for `pip install`. Values may go on on indented lines.
fn options(text: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let (mut section, mut last) = (String::new(), None);
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let (true, Some(value)) = (line.starts_with([' ', '\t']), last.as_ref().and_then(|key| found.get_mut(key))) {
            value.push(' ');
            value.push_str(trimmed);
            continue;
        }
        last = None;
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
            continue;
        }
        let Some((key, value)) = trimmed.split_once(['=', ':']) else { continue };
        let key = key.trim().to_ascii_lowercase().replace('_', "-");
        // `install` is read after `global`, and wins over it.
        let counts = section == "install" || (section == "global" && !found.contains_key(&key));
        if counts && OPTIONS.contains(&key.as_str()) {
            found.insert(key.clone(), value.trim().to_owned());
            last = Some(key);
        }
    }
    found.values_mut().for_each(|value| *value = value.trim().to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_where_packages_are_and_nothing_else() {
        let user = "[install]\nindex-url = https://a.example/simple\n[global]\nindex_url=https://g.example\nuser = true\n\
                    trusted-host =\n    a.example\n    b.example\n# no\ncert = /etc/ssl/x\n";
        let machine = "[global]\nindex-url: https://m.example\nretries = 9\n[list]\ntimeout = 5\n";
        let files = [user.to_owned(), machine.to_owned()];
        let found = variables(|name| (name == "PIP_RETRIES").then(|| "2".into()), &files);
        let expected = [
            ("PIP_INDEX_URL", "https://a.example/simple"),
            ("PIP_RETRIES", "2"),
            ("PIP_TRUSTED_HOST", "a.example b.example"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn a_login_is_for_all_of_its_server() {
        let variables = [
            ("PIP_INDEX_URL", "https://ann:p%40ss@a.example:8443/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://b.example/x https://bob@c.example"),
            ("PIP_TRUSTED_HOST", "d.example"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let found = logins(&variables);
        let places: Vec<_> = found.iter().map(|login| (login.place.as_str(), login.password.as_str())).collect();
        assert_eq!(places, [("https://c.example", ""), ("https://a.example:8443", "p@ss")]);
    }
}
