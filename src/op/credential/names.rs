//! Names that values follow which let somebody in, and values that only refer to one.

use super::super::Secrets;

/// Names that are secret in files, beside those that are so everywhere.
const WHOLE: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
/// The same of the last word of a name.
const LAST: [&str; 6] = ["PASSCODE", "PASSPHRASES", "PASSWORDS", "PSK", "PWD", "TOKENS"];

/// True for the name of what lets somebody in: a number at its end counts for nothing.
pub(super) fn is_secret(name: &str) -> bool {
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['_', '-', '.']);
    let upper = plain.to_ascii_uppercase();
    let last = upper.rsplit(['_', '-', '.']).next().unwrap_or_default();
    !plain.is_empty()
        && (Secrets::is_secret_name(plain)
            || WHOLE.iter().any(|whole| name.eq_ignore_ascii_case(whole))
            || LAST.contains(&last))
}

/// True for a value that is itself the name of a secret, as `DB_PASSWORD` in `name: DB_PASSWORD`.
pub(super) fn names_one(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) && is_secret(value)
}

/// True for what lets nobody in, although it is called so: a directory of a shell, a number of tokens, where users are
/// looked up (nsswitch.conf(5)).
pub(super) fn is_ordinary(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.ends_with("PWD") && value.starts_with(['/', '.', '~'])
        || name == "PASSWD" && ["files", "compat"].iter().any(|service| value.starts_with(service))
        || name.ends_with("TOKENS") && value.trim_end_matches(',').parse::<f64>().is_ok()
}

/// How long the reference is that `value` begins with, such as `$TOKEN` or `{{ token }}`; `None` if it is none, or goes on.
pub(super) fn reference(value: &str) -> Option<usize> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = if let Some(rest) = value.strip_prefix("${") {
        let inner = &rest[..rest.find('}')?];
        // What stands behind `:-` is a value.
        let close = if inner.starts_with('{') { rest.find("}}")? + 2 } else { inner.len() + 1 };
        if inner.contains(['-', '=']) {
            return None;
        }
        2 + close
    } else if value.starts_with("$(") {
        value.rfind(')')? + 1
    } else if value.starts_with("{{") {
        value.find("}}")? + 2
    } else {
        let name = value.strip_prefix('$')?;
        let length = name.find(|c| !of_name(c)).unwrap_or(name.len());
        if length == 0 || name.starts_with(|c: char| c.is_ascii_digit()) && length > 1 {
            return None;
        }
        1 + length
    };
    value[length..].chars().next().is_none_or(|c| c.is_whitespace() || ";,)}]\"'&|<".contains(c)).then_some(length)
}
