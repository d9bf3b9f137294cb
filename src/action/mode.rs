//! `mode`: octal digits, the format's own symbols, or chmod's symbolic form.

use crate::op::Mode;
use crate::yaml::{Diagnostic, Span};

/// Parses a mode.
pub(super) fn parse_mode(text: &str, span: Span) -> Result<Mode, Diagnostic> {
    octal(text).or_else(|| symbols(text)).or_else(|| chmod(text)).ok_or_else(|| {
        Diagnostic::error("mode", span, format!("`{text}` is not a mode"))
            .help("write it like \"0755\", `USER_RWX GROUP_RX OTHER_RX`, or `u+x,go-w`")
    })
}

fn octal(text: &str) -> Option<Mode> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let bits = u32::from_str_radix(digits, 8).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    (bits <= 0o7777).then_some(Mode::Octal(bits))
}

fn symbols(text: &str) -> Option<Mode> {
    let mut bits = 0;
    for word in text.split_whitespace() {
        bits |= match word {
            "READ_ALL" => 0o444,
            "FULL_CONTROL" => 0o777,
            word => {
                let (class, permissions) = word.split_once('_')?;
                let shift = ["OTHER", "GROUP", "USER"].iter().position(|name| *name == class)?;
                let permissions = match permissions {
                    "NONE" => 0,
                    "R" => 4,
                    "W" => 2,
                    "X" => 1,
                    "RW" => 6,
                    "RX" => 5,
                    "WX" => 3,
                    "RWX" => 7,
                    _ => return None,
                };
                permissions << (3 * shift)
            }
        };
    }
    (!text.trim().is_empty()).then_some(Mode::Octal(bits))
}

fn chmod(text: &str) -> Option<Mode> {
    let clause = |clause: &str| {
        let end = clause.find(['+', '-', '='])?;
        let (who, actions) = clause.split_at(end);
        let fits = who.chars().all(|c| "ugoa".contains(c)) && actions.chars().all(|c| "+-=rwxXstugo".contains(c));
        fits.then_some(())
    };
    text.split(',').all(|part| clause(part).is_some()).then(|| Mode::Symbolic(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::FileId;

    #[test]
    fn every_spelling() {
        let mode = |text: &str| parse_mode(text, Span::start_of(FileId(0))).ok();
        for (text, bits) in [
            ("0755", 0o755),
            ("755", 0o755),
            ("0o4755", 0o4755),
            ("USER_RWX GROUP_RX OTHER_RX", 0o755),
            ("USER_RW GROUP_RW OTHER_NONE", 0o660),
            ("READ_ALL", 0o444),
            ("FULL_CONTROL", 0o777),
        ] {
            assert_eq!(mode(text), Some(Mode::Octal(bits)), "{text}");
        }
        for text in ["u+x,go-w", "a=rX", "+t", "g=u"] {
            assert_eq!(mode(text), Some(Mode::Symbolic(text.into())), "{text}");
        }
        for text in ["", "0899", "77777", "USER_RWXX", "u*x", "rwx", "-1"] {
            assert!(!matches!(mode(text), Some(Mode::Octal(_))), "{text}");
        }
        assert_eq!(mode("u*x"), None);
        assert_eq!(mode("rwx"), None);
    }
}
