//! What no line holds, whoever composed it: secrets of the blueprint that alloy works on, as they are today. Records of an
//! earlier day, names of files and errors of the parts may have their values.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde_json::Value;

use crate::event::{Event, Report, Reporter};
use crate::op::{Parameter, Secrets, parameters, passwords_given, passwords_in};
use crate::yaml::{Sources, one_line};

static HIDDEN: LazyLock<Mutex<Secrets>> = LazyLock::new(Mutex::default);

/// From now on, nothing that is printed holds one of `secrets`.
pub fn hide(secrets: &Secrets) {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).join(secrets);
}

/// The same of passwords in `words` that alloy was started with, whatever they are meant to be: an error that quotes one
/// does not show them.
pub fn hide_given(words: impl Iterator<Item = String>) {
    let mut hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    words.flat_map(|word| passwords_given(&word)).for_each(|password| hidden.hide(&password));
}

/// The same of passwords and tokens in URLs of `sources`, which errors show a part of. A reference to a variable is no password.
pub fn hide_quoted(sources: &Sources) {
    let mut hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    let passwords = sources.all().flat_map(|(_, text)| passwords_in(text));
    let passwords = passwords.filter(|password| !password.contains("{{") && !password.contains('$'));
    passwords.for_each(|password| hidden.hide(&password));
    for (_, text) in sources.all() {
        let tokens = parameters(text).into_iter().filter(Parameter::is_token);
        tokens.for_each(|found| hidden.hide(&text[found.place]));
    }
}

/// `text` without secrets. Digests stay what they are: a value may stand in one by chance.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    let hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !hidden.hides(text) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, digest, after)) = at_digest(rest) {
        out += &hidden.mask(before);
        out += digest;
        rest = after;
    }
    Cow::Owned(out + &hidden.mask(rest))
}

/// What stands before the first digest, the digest, and what follows.
fn at_digest(text: &str) -> Option<(&str, &str, &str)> {
    const PREFIX: &str = "sha256:";
    let digits = |rest: &str| rest.bytes().take(64).take_while(u8::is_ascii_hexdigit).count();
    let (at, _) = text.match_indices(PREFIX).find(|(at, _)| digits(&text[at + PREFIX.len()..]) == 64)?;
    let end = at + PREFIX.len() + 64;
    Some((&text[..at], &text[at..end], &text[end..]))
}

/// The same for all texts of a value.
pub(super) fn masked_value(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = masked(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(masked_value),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| masked_value(value)),
        _ => {}
    }
}

/// A reporter whose events hold no secrets, and whose names are on one line.
pub(super) struct Hiding<R: ?Sized>(pub(super) Arc<R>);

impl<R: Report + ?Sized> Report for Hiding<R> {
    fn event(&self, mut event: Event) {
        let (text, names): (Option<&mut String>, Vec<&mut String>) = match &mut event {
            Event::Note(text) | Event::Warning(text) => (Some(text), Vec::new()),
            Event::TransferStarted { name, .. }
            | Event::LayerStarted { name, .. }
            | Event::TaskStarted { name, .. }
            | Event::WaitStarted { what: name, .. }
            | Event::Platform(name) => (None, vec![name]),
            Event::TaskSkipped { name, reason, .. } => (None, vec![name, reason]),
            // What tasks print is masked where it comes in.
            Event::TaskOutput { .. }
            | Event::TransferProgress { .. }
            | Event::TransferEnded { .. }
            | Event::WaitEnded { .. }
            | Event::TaskEnded { .. }
            | Event::LayerPhase { .. }
            | Event::LayerEnded { .. } => (None, Vec::new()),
        };
        for name in names {
            *name = one_line(&masked(name)).into_owned();
        }
        if let Some(text) = text {
            *text = masked(text).into_owned();
        }
        self.0.event(event);
    }
}

/// `reporter`, which hides.
pub(super) fn hiding(reporter: Reporter) -> Reporter {
    Arc::new(Hiding(reporter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_stay() {
        let mut secrets = Secrets::default();
        secrets.insert("A_TOKEN", "hidden-in-this-test");
        secrets.insert("B_TOKEN", "deadbeef0123456789abcdef");
        hide(&secrets);
        let digest = format!("sha256:{}", "deadbeef0123456789abcdef".repeat(3).get(..64).unwrap_or_default());
        assert_eq!(masked(&format!("/srv/hidden-in-this-test {digest} x")), format!("/srv/*** {digest} x"));
        assert_eq!(masked("deadbeef0123456789abcdef"), "***");
        let mut value = serde_json::json!({"a": ["hidden-in-this-test", 1], "b": {"c": "x"}});
        masked_value(&mut value);
        assert_eq!(value, serde_json::json!({"a": ["***", 1], "b": {"c": "x"}}));
    }
}
