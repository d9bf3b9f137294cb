//! Secrets stand in ops as markers: what is hashed, recorded or shown never holds their values.

use std::collections::BTreeMap;

/// Opens and closes a marker. No text of a blueprint may hold it.
const MARK: char = '\0';

/// Endings of names that are secret without being called so.
const ENDINGS: [&str; 5] = ["TOKEN", "PASSWORD", "SECRET", "KEY", "CREDENTIALS"];

/// What stands in ops in place of the value of `name`.
pub fn marker(name: &str) -> String {
    format!("{MARK}secret:{name}{MARK}")
}

/// Names and values of secrets.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
}

impl Secrets {
    /// True for names that end as secrets do.
    pub fn is_secret_name(name: &str) -> bool {
        ENDINGS.iter().any(|ending| name.to_ascii_uppercase().ends_with(ending))
    }

    /// Adds a secret.
    pub fn insert(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// True if `text` holds the marker of a secret.
    pub fn in_text(text: &str) -> bool {
        text.contains(MARK)
    }

    /// `text` with the values in place of their markers.
    pub fn reveal(&self, text: &str) -> String {
        if !Self::in_text(text) {
            return text.to_owned();
        }
        self.values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&marker(name), value))
    }

    /// `text` with `***` in place of every value and marker. Each line of a value counts by itself.
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.values {
            text = text.replace(&marker(name), "***");
            // Longest first, so that no line of a value leaves the rest of another behind.
            let mut lines: Vec<&str> = value.lines().map(str::trim).filter(|line| line.len() >= 3).collect();
            lines.push(value.trim());
            lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
            for line in lines.into_iter().filter(|line| !line.is_empty()) {
                text = text.replace(line, "***");
            }
        }
        text
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_revealed_and_masked() {
        let mut secrets = Secrets::default();
        secrets.insert("NPM_TOKEN", "hunter2\nsecond-line");
        let text = format!("curl -H {}", marker("NPM_TOKEN"));
        assert_eq!(secrets.reveal(&text), "curl -H hunter2\nsecond-line");
        assert_eq!(secrets.mask("got second-line here"), "got *** here");
        assert!(!secrets.mask(&secrets.reveal(&text)).contains("hunter2"));
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn names_that_end_as_secrets_do() {
        assert!(Secrets::is_secret_name("NPM_TOKEN") && Secrets::is_secret_name("api_key"));
        assert!(!Secrets::is_secret_name("TOKENIZER_VERSION"));
    }
}
