//! What a source says of the keys that sign it: `Signed-By` (sources.list(5)), read as apt reads it.

use std::path::PathBuf;

/// How a key in the text of a source begins.
const BLOCK: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// A key, named by its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// In upper case.
    digits: String,
    /// With a `!`: this key alone, and none of its subkeys.
    exact: bool,
}

impl Fingerprint {
    fn read(word: &str) -> Option<Self> {
        let (digits, exact) = word.strip_suffix('!').map_or((word, false), |digits| (digits, true));
        // Shorter names of keys are easily made to fit. Keys of version 6 have 64 digits (RFC 9580, 5.5.4).
        let fits = matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self { digits: digits.to_ascii_uppercase(), exact })
    }

    /// True if it names `key`, which belongs to `primary` or is the same.
    pub fn names(&self, key: &str, primary: &str) -> bool {
        key.eq_ignore_ascii_case(&self.digits) || (!self.exact && primary.eq_ignore_ascii_case(&self.digits))
    }
}

/// Who may sign a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignedBy {
    /// All that are trusted for every source.
    #[default]
    Anybody,
    /// Keys that are chosen.
    Keys {
        /// Keyrings to choose from; none for those that are trusted for every source.
        files: Vec<PathBuf>,
        /// The keys of these; none for all.
        only: Vec<Fingerprint>,
    },
    /// The keys in an armoured text.
    Block(String),
}

impl SignedBy {
    /// Reads the value of a field or an option. What is not understood is an error, and never the same as nothing.
    pub fn read(value: &str) -> Result<Self, String> {
        let value = value.trim();
        if value.starts_with(BLOCK) {
            // An empty line of the key is a dot (deb822(5)).
            let lines = value.lines().map(str::trim).map(|line| if line == "." { "" } else { line });
            return Ok(Self::Block(lines.flat_map(|line| [line, "\n"]).collect()));
        }
        let (mut files, mut only) = (Vec::new(), Vec::new());
        let words = value.split(|c: char| c == ',' || c.is_ascii_whitespace());
        for word in words.filter(|word| !word.is_empty()) {
            if word.starts_with('/') {
                files.push(PathBuf::from(word));
            } else if let Some(fingerprint) = Fingerprint::read(word) {
                only.push(fingerprint);
            } else {
                let word: String = word.chars().take(80).collect();
                return Err(format!("`{word}` is neither the absolute path of a keyring nor a whole fingerprint"));
            }
        }
        Ok(if files.is_empty() && only.is_empty() { Self::Anybody } else { Self::Keys { files, only } })
    }

    /// Reads the options of a line in the one-line style, the text between `[` and `]`.
    pub fn of_options(options: &str) -> Result<Self, String> {
        let mut found = None;
        for option in options.split_whitespace() {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            if !name.to_ascii_lowercase().contains("signed-by") {
                continue;
            }
            if name != "signed-by" || value.is_empty() || found.replace(value).is_some() {
                return Err(format!("the option `{option}` is not one `signed-by=` with a value"));
            }
        }
        found.map_or(Ok(Self::Anybody), Self::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn files_and_fingerprints_stand_together() {
        let one = |word: &str| Fingerprint::read(word).unwrap();
        let files = |files: &[&str]| files.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(SignedBy::read(" \n "), Ok(SignedBy::Anybody));
        for text in [format!("/a.gpg,{A}!,/b.gpg {B}"), format!("\n {A}!\n\t{B} /a.gpg, /b.gpg")] {
            let expected =
                SignedBy::Keys { files: files(&["/a.gpg", "/b.gpg"]), only: vec![one(&format!("{A}!")), one(B)] };
            assert_eq!(SignedBy::read(&text), Ok(expected), "{text}");
        }
        let option = SignedBy::of_options(&format!(" arch=amd64 signed-by={A},/a.gpg "));
        assert_eq!(option, Ok(SignedBy::Keys { files: files(&["/a.gpg"]), only: vec![one(A)] }));
        assert_eq!(SignedBy::of_options("arch=amd64 trusted=yes"), Ok(SignedBy::Anybody));
    }

    #[test]
    fn a_block_is_a_key_whatever_its_lines_begin_with() {
        let block = format!("\n {BLOCK}\n .\n /abc\n =defg\n -----END PGP PUBLIC KEY BLOCK-----");
        let expected = format!("{BLOCK}\n\n/abc\n=defg\n-----END PGP PUBLIC KEY BLOCK-----\n");
        assert_eq!(SignedBy::read(&block), Ok(SignedBy::Block(expected)));
    }

    #[test]
    fn what_is_not_understood_is_never_nothing() {
        let short = &A[..16];
        for value in
            [short, "x/y.gpg", "no", "\"/a.gpg\"", "/a.gpg DEADBEEF", &format!("{A}!!"), "!", "0x00", "/a /b x"]
        {
            assert!(SignedBy::read(value).is_err(), "{value}");
        }
        // A key that does not begin with its beginning: its lines are no paths.
        assert!(SignedBy::read("Version: x\n /abc/def\n =defg").is_err());
        for options in ["signed-by=", "signed-by", "Signed-By=/a", "signed-by+=/a", "signed-by=/a signed-by=/b"] {
            assert!(SignedBy::of_options(options).is_err(), "{options}");
        }
    }

    #[test]
    fn a_fingerprint_stands_for_subkeys_unless_it_says_otherwise() {
        let (plain, exact) = (Fingerprint::read(B).unwrap(), Fingerprint::read(&format!("{B}!")).unwrap());
        let upper = B.to_ascii_uppercase();
        assert!(plain.names(&upper, &upper) && exact.names(&upper, &upper));
        assert!(plain.names(A, &upper) && !exact.names(A, &upper));
        // One of a subkey does not stand for the key above it.
        assert!(plain.names(&upper, A) && exact.names(&upper, A));
        assert!(!plain.names(A, A));
    }
}
