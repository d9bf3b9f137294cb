//! Secrets stand in ops as markers: what is hashed, recorded or shown never holds their values.

use std::collections::BTreeMap;

use super::mask::Mask;

/// Opens and closes a marker. No text of a blueprint may hold it.
const MARK: char = '\0';
const OPEN: &str = "\0secret:";
const SHOWN: &str = "***";

/// Endings of names that are secret without being called so.
const ENDINGS: [&str; 5] = ["TOKEN", "PASSWORD", "SECRET", "KEY", "CREDENTIALS"];

/// What stands in ops in place of the value of `name`.
pub fn marker(name: &str) -> String {
    format!("{OPEN}{name}{MARK}")
}

/// Names and values of secrets.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    mask: Mask,
}

impl Secrets {
    /// True for names that end as secrets do.
    pub fn is_secret_name(name: &str) -> bool {
        ENDINGS.iter().any(|ending| name.to_ascii_uppercase().ends_with(ending))
    }

    /// Adds a secret. True if it was not known.
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        let new = self.values.insert(name.to_owned(), value.to_owned()).is_none_or(|before| before != value);
        if new {
            self.mask.insert(value);
        }
        new
    }

    /// Masks a text that no variable holds, such as a proxy's password.
    pub fn hide(&mut self, value: &str) {
        self.mask.insert(value);
    }

    /// True if `text` holds the marker of a secret.
    pub fn in_text(text: &str) -> bool {
        text.contains(MARK)
    }

    /// `text` with the values in place of their markers.
    pub fn reveal(&self, text: &str) -> String {
        self.reveal_as(text, str::to_owned)
    }

    /// The same, with each value in the form that `form` gives it.
    pub fn reveal_as(&self, text: &str, form: impl Fn(&str) -> String) -> String {
        replaced(text, |name| self.values.get(name).map(|value| form(value)))
    }

    /// `text` with templates in place of markers: as its author wrote it.
    pub fn as_written(text: &str) -> String {
        replaced(text, |name| Some(format!("{{{{.Vars.{name}}}}}")))
    }

    /// `text` with `***` in place of every value; markers stay. What may be kept, and told apart again.
    pub fn mask_values(&self, text: &str) -> String {
        let parts = text.split(MARK).enumerate();
        let parts = parts.map(|(at, part)| if at % 2 == 1 { part.to_owned() } else { self.mask(part) });
        parts.collect::<Vec<_>>().join(&MARK.to_string())
    }

    /// `text` with `***` in place of every marker.
    pub fn without_markers(text: &str) -> String {
        replaced(text, |_| Some(SHOWN.to_owned()))
    }

    /// `text` with `***` in place of every value and marker. Each line of a value counts by itself, and so do the
    /// forms in which URLs, JSON and base64 have it.
    pub fn mask(&self, text: &str) -> String {
        let text = Self::without_markers(text);
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for (start, end) in self.mask.places(text.as_bytes()) {
            out.push_str(&text[done..start]);
            out.push_str(SHOWN);
            done = end;
        }
        out + &text[done..]
    }

    /// Where `text`, which goes on with what is not there yet, can be cut so that masking its parts masks all.
    pub fn cut(&self, text: &[u8]) -> usize {
        let end = text.len().saturating_sub(self.mask.longest().saturating_sub(1));
        let across = self.mask.places(text).into_iter().find(|(start, after)| *start < end && end < *after);
        across.map_or(end, |(start, _)| start)
    }
}

/// `text` with what `value` gives for a name in place of its marker.
fn replaced(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        out.push_str(before);
        match after.split_once(MARK).and_then(|(name, after)| Some((value(name)?, after))) {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push_str(OPEN);
                rest = after;
            }
        }
    }
    out + rest
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for (at, value) in values.iter().enumerate() {
            secrets.insert(&format!("S{at}_TOKEN"), value);
        }
        secrets
    }

    #[test]
    fn values_are_revealed_and_masked() {
        let secrets = secrets(&["hunter2\nsecond-line"]);
        let text = format!("curl -H {}", marker("S0_TOKEN"));
        assert_eq!(secrets.reveal(&text), "curl -H hunter2\nsecond-line");
        assert_eq!(secrets.mask("got second-line here"), "got *** here");
        assert_eq!(secrets.mask(&secrets.reveal(&text)), "curl -H ***");
        assert_eq!(secrets.mask(&text), "curl -H ***");
        assert_eq!(Secrets::as_written(&text), "curl -H {{.Vars.S0_TOKEN}}");
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_behind() {
        let secrets = secrets(&["abcd", "abcdefgh", "ghijkl"]);
        assert_eq!(secrets.mask("x abcdefgh y"), "x *** y");
        assert_eq!(secrets.mask("x abcdefghijkl y"), "x *** y");
        assert_eq!(secrets.mask("no secret"), "no secret");
    }

    #[test]
    fn short_values_are_left_alone() {
        assert_eq!(secrets(&["a", "", "1\n}\n-----"]).mask("a } 100 -----"), "a } 100 ***");
    }

    #[test]
    fn a_text_is_never_cut_within_a_value() {
        let secrets = secrets(&["hunter2", "0123456789"]);
        let text = "a hunter2 and 0123456789 hunt";
        let (first, rest) = text.split_at(secrets.cut(text.as_bytes()));
        assert!(text.len() - first.len() >= "hunt".len(), "{first}");
        let masked = secrets.mask(first) + &secrets.mask(&format!("{rest}er2"));
        assert_eq!(masked, "a *** and *** ***");
    }

    #[test]
    fn names_that_end_as_secrets_do() {
        assert!(Secrets::is_secret_name("NPM_TOKEN") && Secrets::is_secret_name("api_key"));
        assert!(!Secrets::is_secret_name("TOKENIZER_VERSION"));
    }
}
