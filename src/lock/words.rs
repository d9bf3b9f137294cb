//! Words of lockfiles about packages of languages: they become names of files and words of command lines. Registries are
//! judged by the same rules before anything of theirs is pinned, or even asked for: what they say need not be true.

use crate::op::{Language, file_of};

/// Of a name or version.
const LONGEST: usize = 214;
/// Of a path.
const DEEPEST: usize = 1024;

/// What no lockfile can say of a package, in words.
pub fn unfit(language: Language, name: &str, version: &str, url: &str, path: Option<&str>) -> Option<String> {
    let wrong = |text: &str, what: &str| Some(format!("`{}` is not the {what} of a package", text.escape_debug()));
    match () {
        () if !is_name(name, language) => wrong(name, "name"),
        () if !is_version(version) => wrong(version, "version"),
        () if !is_url(url, language) => wrong(url, "url"),
        () => path.filter(|path| !is_path(path)).and_then(|path| wrong(path, "path")),
    }
}

pub(super) fn is_version(text: &str) -> bool {
    plain(text) && text.len() <= LONGEST
}

/// The characters of versions of all three (PEP 440, semver), and those of names.
fn plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+!~".contains(c))
}

/// Scopes are npm's.
pub(super) fn is_name(text: &str, language: Language) -> bool {
    let bare = match (language, text.strip_prefix('@').and_then(|text| text.split_once('/'))) {
        (Language::Npm, Some((scope, name))) if plain(scope) => name,
        _ => text,
    };
    plain(bare) && text.len() <= LONGEST
}

/// A path of names of packages: it leads nowhere else.
pub(super) fn is_path(text: &str) -> bool {
    text.len() <= DEEPEST && text.split("/node_modules/").all(|name| is_name(name, Language::Npm))
}

/// The file of a Python package is called as the last part of its URL.
pub(super) fn is_url(text: &str, language: Language) -> bool {
    let known = ["https://", "http://", "file:///"].iter().any(|scheme| text.starts_with(scheme));
    known && !text.contains(char::is_whitespace) && (language != Language::Python || plain(&file_of(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_where_it_is_lent() {
        for bad in ["..", "../x", "a/../b", "", "/a", "a/node_modules/..", "a/node_modules/", "-x", "@s/..", "a//b"] {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(is_path("a") && is_path("@s/a/node_modules/b/node_modules/@t/c"));
        assert!(!is_url("https://a.example/..%2Fx.whl", Language::Python) && !is_url("x.whl", Language::Npm));
        assert!(is_url("https://a.example/x-1%2Blocal.whl#x", Language::Python));
        assert!(!is_name("@s/a", Language::Python) && !is_name("--index-url", Language::Python));
    }

    #[test]
    fn what_a_registry_says_is_judged_by_the_same_rules() {
        let said = |name, version| unfit(Language::Rust, name, version, "https://a.example/x", None);
        assert_eq!(said("serde", "1.0.0-rc.1+x"), None);
        assert_eq!(said("../../x", "1.0.0").unwrap(), "`../../x` is not the name of a package");
        assert_eq!(said("x", "1.0.0/..\n").unwrap(), "`1.0.0/..\\n` is not the version of a package");
        assert!(unfit(Language::Npm, "x", "1.0.0", "https://a.example/x", Some("x/../../etc")).is_some());
    }
}
