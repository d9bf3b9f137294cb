//! Tokens that are known by how they begin: those of code forges, registries, clouds and chats, JSON Web Tokens, and hashes
//! of passwords.

use std::ops::Range;

/// How tokens begin, and how many characters follow at least.
const FORMS: [(&str, usize); 47] = [
    // GitHub
    ("github_pat_", 1),
    ("gho_", 1),
    ("ghp_", 1),
    ("ghr_", 1),
    ("ghs_", 1),
    ("ghu_", 1),
    // GitLab
    ("glagent-", 1),
    ("glcbt-", 1),
    ("gldt-", 1),
    ("glffct-", 1),
    ("glft-", 1),
    ("glimt-", 1),
    ("gloas-", 1),
    ("glpat-", 1),
    ("glptt-", 1),
    ("glrt-", 1),
    ("glrtr-", 1),
    ("glsoat-", 1),
    // Slack
    ("xapp-", 8),
    ("xoxa-", 1),
    ("xoxb-", 1),
    ("xoxc-", 1),
    ("xoxd-", 1),
    ("xoxe-", 1),
    ("xoxe.xox", 1),
    ("xoxo-", 1),
    ("xoxp-", 1),
    ("xoxr-", 1),
    ("xoxs-", 1),
    // Registries of packages and images, and stores of artifacts
    ("AKCp", 20),
    ("cmVmdGtu", 20),
    ("dckr_oat_", 8),
    ("dckr_pat_", 8),
    ("npm_", 20),
    ("pypi-Ag", 16),
    // Services
    ("AGE-SECRET-KEY-1", 20),
    ("AIza", 30),
    ("ATATT3", 20),
    ("SG.", 40),
    ("dop_v1_", 20),
    ("hf_", 20),
    ("hvs.", 20),
    ("rk_live_", 8),
    ("sk-", 20),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("ya29.", 20),
];
/// How names of keys of AWS begin, and how many characters follow.
const AWS: [&str; 2] = ["AKIA", "ASIA"];
const AWS_MORE: usize = 16;
/// `{"`, as it begins the head of a JSON Web Token (RFC 7519).
const JWT: &str = "eyJ";
/// What stands between the first two `$` of a hashed password (crypt(5), and those of web servers and languages).
const HASHES: [&str; 15] =
    ["1", "2a", "2b", "2x", "2y", "5", "6", "7", "apr1", "argon2d", "argon2i", "argon2id", "gy", "sm3", "y"];

/// True for what begins as tokens of code forges do: these may stand in the place of a user.
pub(super) fn begins_as_one(user: &str) -> bool {
    FORMS.iter().any(|(begin, _)| {
        user.starts_with(begin) && (begin.starts_with("gh") || begin.starts_with("gl") || begin.starts_with("github"))
    })
}

/// Where `text` has tokens, and hashes of passwords.
pub(super) fn all(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (begin, least) in FORMS {
        let of_this = text.match_indices(begin).filter(|(at, _)| begins(text, *at));
        found.extend(of_this.filter_map(|(at, _)| {
            let rest = &text[at + begin.len()..];
            let length = length(rest, is_of_token);
            let length = rest[..length].trim_end_matches('.').len();
            (length >= least).then_some(at..at + begin.len() + length)
        }));
    }
    for begin in AWS {
        let of_this = text.match_indices(begin).filter(|(at, _)| begins(text, *at));
        found.extend(of_this.filter_map(|(at, _)| {
            let rest = &text[at + begin.len()..];
            let ends = length(rest, |c| c.is_ascii_uppercase() || c.is_ascii_digit()) == AWS_MORE;
            let whole = ends && !rest[AWS_MORE..].starts_with(|c: char| c.is_ascii_lowercase());
            whole.then_some(at..at + begin.len() + AWS_MORE)
        }));
    }
    found.extend(text.match_indices(JWT).filter(|(at, _)| begins(text, *at)).filter_map(|(at, _)| jwt(text, at)));
    found.extend(text.match_indices('$').filter_map(|(at, _)| hash(text, at)));
    found
}

/// True if nothing stands before `at` that what begins there would belong to.
fn begins(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| c.is_alphanumeric())
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

fn length(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

/// A head, what it says, and its signature, which may be empty.
fn jwt(text: &str, at: usize) -> Option<Range<usize>> {
    let whole = &text[at..at + length(&text[at..], is_of_token)];
    let mut parts = whole.split('.');
    let (head, said) = (parts.next()?, parts.next()?);
    (head.len() >= 8 && said.len() >= 2 && parts.next().is_some()).then_some(at..at + whole.len())
}

/// The hash of a password that begins at the `$` at `at`.
fn hash(text: &str, at: usize) -> Option<Range<usize>> {
    let (kind, rest) = text[at + 1..].split_once('$')?;
    if !HASHES.contains(&kind) {
        return None;
    }
    let length = length(rest, |c| c.is_ascii_alphanumeric() || "./$=,+-".contains(c));
    (length >= 16).then(|| at..at + kind.len() + 2 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_how_they_begin() {
        for text in [
            "ghp_abc",
            "github_pat_11A_b",
            "glpat-x-1.01.ab",
            "xoxb-123-456-abc",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln_-x",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
            "npm_0123456789abcdefghij0123456789abcdef",
            "$6$salt$0123456789abcdefghijk/.",
            "$2b$12$0123456789abcdefghijkuXkq",
        ] {
            for (before, after) in [("", ""), ("x \"", "\" y"), ("a=", "\nb"), ("(", ")")] {
                let whole = format!("{before}{text}{after}");
                assert_eq!(all(&whole), vec![before.len()..before.len() + text.len()], "{whole}");
            }
        }
        for text in [
            "AKIAIOSFODNN7EXAMPLe",
            "the AKIA region",
            "eyJ.a.b",
            "sk-SK.UTF-8",
            "npm_config_cache",
            "highp_x glow $1 $PATH $5$ ${6}$ cost $6 $y",
            "sha256:eyes ghp_",
        ] {
            assert!(all(text).is_empty(), "{text}");
        }
    }
}
