//! Values that follow a word behind a blank, as on command lines, in netrc(5) and in many files of settings.

use std::ops::Range;

use super::names::{is_secret, reference};

/// Words that a value follows, whatever it is.
const BEFORE: [&str; 8] = ["password", "passwd", "passphrase", "psk", "requirepass", "masterauth", "rootpw", "bindpw"];
/// Words of which a sentence may speak as well: what follows counts if it stands in quotes or has a digit in it.
const SPOKEN_OF: [&str; 5] = ["secret", "token", "apikey", "api_key", "api-key"];
/// Schemes of HTTP, behind which base64 stands, or the like.
const SCHEMES: [&str; 2] = ["bearer", "basic"];
/// Options and settings of a user and a password, as curl(1) has them.
const LOGINS: [&str; 6] = ["-u", "-U", "--user", "--proxy-user", "user", "proxy-user"];
/// Words of a sentence about passwords, which are none, and those of pam.d(5).
const SENTENCE: [&str; 39] = [
    "and",
    "are",
    "as",
    "at",
    "be",
    "by",
    "can",
    "does",
    "file",
    "for",
    "from",
    "has",
    "if",
    "in",
    "include",
    "is",
    "it",
    "may",
    "must",
    "not",
    "of",
    "on",
    "optional",
    "or",
    "prompt",
    "required",
    "requisite",
    "should",
    "so",
    "substack",
    "sufficient",
    "that",
    "the",
    "to",
    "was",
    "which",
    "will",
    "with",
    "you",
];
/// A comment of more words is a sentence, unless it is a line of netrc(5).
const MANY: usize = 3;

/// A word of a line.
struct Word<'a> {
    text: &'a str,
    start: usize,
    quoted: bool,
}

/// Where `line` has such values.
pub(super) fn all(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    of(line, 0, "", &mut found);
    found
}

/// True if the first word of the next line is a value: nothing else stands on this one, or it goes on.
pub(super) fn goes_on(line: &str) -> bool {
    let (text, on) = match line.trim_end().strip_suffix('\\') {
        Some(text) => (text, true),
        None => (line, false),
    };
    let mut words = text.split_whitespace();
    let last = words.next_back().unwrap_or_default();
    (on || words.next().is_none()) && (BEFORE.iter().any(|name| last.eq_ignore_ascii_case(name)) || is_option(last))
}

fn is_option(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(is_secret)
}

/// Adds what `line` has, which begins at `start` and stands behind the word `before`. Gives its last word.
fn of<'a>(line: &'a str, start: usize, mut before: &'a str, found: &mut Vec<Range<usize>>) -> &'a str {
    let has = |word: &str| line.contains(word);
    let sentence = line.trim_start().starts_with('#') && line.split_whitespace().count() > MANY && !has("login ");
    let (curl, passwd, by_p) = (has("curl"), has("chpasswd"), has("sshpass") || has("mysql") || has("mariadb"));
    for word in words(line) {
        let Word { text, start: at, quoted } = word;
        let at = start + at;
        let whole = || at..at + text.len();
        let after = |begin: usize| at + begin..at + text.len();
        let is_value = reference(text).is_none() && text.contains(char::is_alphanumeric);
        // In a sentence, only what is no word of it.
        let bare = text.trim_matches(|c: char| c.is_ascii_punctuation());
        let is_word = sentence && !quoted && bare.chars().all(char::is_alphabetic);
        if is_value && !is_word && follows(before, text, quoted) {
            found.push(whole());
        } else if is_value && LOGINS.contains(&before.trim_end_matches(':'))
            || curl && text.starts_with("-u")
            || passwd && !text.contains('/')
        {
            found.extend(password(text).map(after));
        } else if by_p && before == "-p" && has("sshpass") && is_value {
            found.push(whole());
        } else if by_p && text.len() > 2 && text.starts_with("-p") && reference(&text[2..]).is_none() {
            found.push(after(2));
        } else if text.starts_with("pass:") && text.len() > 5 && reference(&text[5..]).is_none() {
            found.push(after(5));
        }
        // A command in quotes, or a line of a header.
        before = if quoted { of(text, at, "", found) } else { text };
    }
    before
}

/// True if `word` is a value, as it stands behind `before`.
fn follows(before: &str, word: &str, quoted: bool) -> bool {
    // A line that a comment has put out of use.
    let before = before.trim_start_matches('#');
    let is = |names: &[&str]| names.iter().any(|name| before.eq_ignore_ascii_case(name));
    let digit = word.contains(|c: char| c.is_ascii_digit());
    let spoken = !quoted && SENTENCE.contains(&word.to_ascii_lowercase().trim_end_matches(['.', ':', '!']));
    if is(&BEFORE) {
        return !spoken;
    }
    if is(&SPOKEN_OF) {
        return quoted || digit;
    }
    if is(&SCHEMES) {
        return !spoken && (digit || word.len() >= 16 || word.contains(|c: char| c.is_ascii_uppercase()));
    }
    // What stands in a file is read there.
    is_option(before) && !word.starts_with('-') && !(before.ends_with("key") && word.contains(['/', '.']))
}

/// Where the password begins in `user:password`; `None` for numbers of a user and a group, and where a variable gives it.
fn password(word: &str) -> Option<usize> {
    let (user, password) = word.split_once(':')?;
    let numbers = [user, password].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let url = password.starts_with("//") || user.contains('/');
    (!numbers && !url && !password.is_empty() && reference(password).is_none()).then_some(user.len() + 1)
}

/// The words of a line; what stands in quotes is one.
fn words(line: &str) -> Vec<Word<'_>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < line.len() {
        let rest = &line[at..];
        let Some(first) = rest.chars().next() else { break };
        // That of `don't` opens nothing.
        let opens = "\"'".contains(first) && !line[..at].ends_with(char::is_alphanumeric);
        let closing = || rest[1..].find(first).filter(|length| *length > 0);
        if let Some(length) = opens.then(closing).flatten() {
            found.push(Word { text: &rest[1..=length], start: at + 1, quoted: true });
            at += length + 2;
        } else if is_between(first) {
            at += first.len_utf8();
        } else {
            let length = rest.find(is_between).unwrap_or(rest.len());
            // That of a line that goes on, or of a quote within quotes, is no word.
            found.extend((&rest[..length] != "\\").then_some(Word { text: &rest[..length], start: at, quoted: false }));
            at += length;
        }
    }
    found
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || "\"'=,;".contains(c)
}
