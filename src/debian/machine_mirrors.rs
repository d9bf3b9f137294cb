//! Archives that installed packages name: python-apt's templates, and debootstrap with its scripts. Whoever has one of
//! these packages knows where the other distribution is, without a list of alloy's own.
//!
//! Both are data here, read with an end; nothing of them is run.

use std::path::{Path, PathBuf};

use layers::regular;
use url::Url;

use super::control;
use super::sources::Distribution;

/// Bytes of a file; the largest have some ten thousand.
const FILE_LIMIT: u64 = 1 << 20;
/// So deep `case` and `if` may stand in one another.
const DEEPEST: usize = 32;

/// An archive, as an installed package names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The archive, without a slash at its end.
    pub uri: String,
    /// The archive of its security updates, where that is another one.
    pub security: Option<String>,
    /// The file that says so.
    pub file: PathBuf,
}

/// Where `suite` is for `architecture`, Debian's name of it, as what is installed below `usr` says.
pub fn known(usr: &Path, suite: &str, distribution: Distribution, architecture: &str) -> Option<Known> {
    template(usr, suite, distribution, architecture).or_else(|| script(usr, suite, distribution, architecture))
}

/// The URI of an archive, as plain http: a base has no certificates with which its own apt could ask for more, and what
/// an archive says is signed. Packages differ in which of the two they write; a base does not.
fn archive(uri: &str) -> Option<String> {
    let parsed = Url::parse(uri).ok()?;
    let open = parsed.username().is_empty() && parsed.password().is_none();
    let whole = parsed.query().is_none() && parsed.fragment().is_none() && parsed.has_host();
    if !matches!(parsed.scheme(), "http" | "https") || !open || !whole {
        return None;
    }
    let text = parsed.as_str().trim_end_matches('/');
    Some(match text.strip_prefix("https://") {
        Some(rest) if parsed.port().is_none() => format!("http://{rest}"),
        _ => text.to_owned(),
    })
}

/// As python-apt's template of the distribution has it. A name in it with `{series}` stands for all suites.
fn template(usr: &Path, suite: &str, distribution: Distribution, architecture: &str) -> Option<Known> {
    let names = match distribution {
        Distribution::Debian => ["Debian.info", "debian.info"],
        Distribution::Ubuntu => ["Ubuntu.info", "ubuntu.info"],
    };
    names.iter().find_map(|name| {
        let file = usr.join("share/python-apt/templates").join(name);
        let stanzas = control::parse(&regular::text(&file, FILE_LIMIT).ok()?);
        let uri = |wanted: &str| {
            let named = |name: &str| {
                let fits = |stanza: &&control::Stanza| {
                    let says = |field: &str, value: &str| stanza.line(field).is_some_and(|it| it == value);
                    let no = |field: &str| stanza.line(field).is_some_and(|it| it.eq_ignore_ascii_case("false"));
                    says("Suite", name) && says("RepositoryType", "deb") && !no("Official") && !no("Available")
                };
                stanzas.iter().filter(fits).find_map(|stanza| {
                    let own = stanza.line(&format!("BaseURI-{architecture}"));
                    archive(own.or_else(|| stanza.line("BaseURI"))?)
                })
            };
            named(wanted).or_else(|| named(&wanted.replacen(suite, "{series}", 1)))
        };
        let main = uri(suite)?;
        // Debian's template has the host alone, and that answers below `debian-security`.
        let security = match distribution {
            Distribution::Debian => None,
            Distribution::Ubuntu => uri(&format!("{suite}-security")).filter(|security| *security != main),
        };
        Some(Known { uri: main, security, file })
    })
}

/// As debootstrap has it: in the script of the suite, else, of Debian's suites, in the program.
fn script(usr: &Path, suite: &str, distribution: Distribution, architecture: &str) -> Option<Known> {
    let scripts = usr.join("share/debootstrap/scripts");
    // A link to another of them, for most suites; a new suite has none yet.
    let of_all = match distribution {
        Distribution::Debian => "sid",
        Distribution::Ubuntu => "gutsy",
    };
    let in_script = [suite, of_all].into_iter().filter(|name| !name.contains('/')).find_map(|name| {
        let file = scripts.join(name);
        let uri = default_mirror(&regular::text(&file, FILE_LIMIT).ok()?, suite, architecture)?;
        Some((uri, file))
    });
    let in_program = || {
        let file = usr.join("sbin/debootstrap");
        let text = regular::text(&file, FILE_LIMIT).ok()?;
        let uri = text.lines().find_map(|line| line.strip_prefix("DEF_MIRROR="))?;
        Some((archive(uri.trim().trim_matches(['"', '\'']))?, file))
    };
    let found = in_script.or_else(|| (distribution == Distribution::Debian).then(in_program).flatten());
    found.map(|(uri, file)| Known { uri, security: None, file })
}

/// Where a line of a script stands.
enum Within {
    /// In a `case`: the word that it is about, unless an arm was taken already, and whether its present arm is taken.
    Case { word: Option<String>, taken: bool },
    /// In an `if`: whether it is the part that is taken, which is always the first.
    If { taken: bool },
    /// In a function: it is not called here.
    Function,
}

/// What a script calls `default_mirror` with, for a suite and an architecture. Of the shell it knows `case` of these
/// two, and that what stands first behind an `if` is what is usual.
fn default_mirror(text: &str, suite: &str, architecture: &str) -> Option<String> {
    let mut within: Vec<Within> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if within.len() > DEEPEST {
            return None;
        }
        let ends =
            |word: &str| line == word || line.ends_with(&format!(" {word}")) || line.ends_with(&format!(";{word}"));
        match (first, within.last_mut()) {
            ("case", _) if !ends("esac") => {
                let about = words.next().unwrap_or_default().trim_matches('"');
                let word = match about {
                    "$ARCH" | "${ARCH}" => Some(architecture.to_owned()),
                    "$SUITE" | "${SUITE}" => Some(suite.to_owned()),
                    _ => None,
                };
                within.push(Within::Case { word, taken: false });
            }
            ("esac", _) => {
                within.pop_if(|within| matches!(within, Within::Case { .. }));
            }
            ("if", _) if !ends("fi") => within.push(Within::If { taken: true }),
            ("elif" | "else", Some(Within::If { taken })) => *taken = false,
            ("fi", _) => {
                within.pop_if(|within| matches!(within, Within::If { .. }));
            }
            _ if line.ends_with("{") => within.push(Within::Function),
            ("}", _) => {
                within.pop_if(|within| matches!(within, Within::Function));
            }
            (_, Some(Within::Case { word, taken })) if !*taken && line.ends_with(')') => {
                let patterns = line.trim_start_matches('(').trim_end_matches(')').split('|').map(str::trim);
                *taken = word.as_ref().is_some_and(|word| patterns.into_iter().any(|one| one == word || one == "*"));
            }
            ("default_mirror", _) => {
                let runs = within.iter().all(|within| match within {
                    Within::Case { taken, .. } | Within::If { taken } => *taken,
                    Within::Function => false,
                });
                if runs {
                    return archive(words.next()?.trim_matches(['"', '\'']));
                }
            }
            (_, Some(Within::Case { word, taken })) if line.ends_with(";;") => {
                // No other arm of it is looked at.
                *word = word.take().filter(|_| !*taken);
                *taken = false;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
