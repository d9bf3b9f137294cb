//! Commands of a build do not have the environment of whoever builds. Where one names a variable that is set there, and
//! that nothing gives it, its author may have meant just that.

use std::collections::{BTreeMap, BTreeSet};

use super::environment::may_be_lent;
use super::left_out::is_excluded;
use crate::blueprint::{Blueprint, Given, of_commands};
use crate::yaml::{Diagnostic, MAX_PROBLEMS, Mapping, Span, Value};

/// Names that shells, terminals and sessions set for everybody: nobody means whoever builds by them.
const USUAL: &str = "COLORTERM COLUMNS COMP_WORDBREAKS DEBIAN_FRONTEND DESKTOP_SESSION DIRSTACK DISPLAY EDITOR EUID GROUPS \
                     HISTCMD HISTFILE HISTSIZE HOSTNAME HOSTTYPE INVOCATION_ID JOURNAL_STREAM LESSCLOSE LESSOPEN LINENO \
                     LINES LS_COLORS MACHTYPE MANPATH NAME OPTARG OPTERR OPTIND OSTYPE PAGER PIPESTATUS PPID RANDOM REPLY \
                     SECONDS SOURCE_DATE_EPOCH SYSTEMD_EXEC_PID TTY TZ UID USERNAME VISUAL WAYLAND_DISPLAY WINDOWID";
/// How such names begin.
const BEGINNINGS: [&str; 4] = ["BASH", "SUDO_", "VSCODE_", "WSL"];
/// Fields that are scripts.
const SCRIPTS: [&str; 2] = ["command", "skip_if"];
/// Commands whose words are names of variables that they set, or take away.
const SETTING: &str =
    "declare export for getopts let local mapfile printf read readarray readonly select typeset unset";
/// Commands that may set any variable.
const READING: [&str; 3] = [".", "eval", "source"];

/// A warning for each variable that `given` has in the process's environment and a command of `blueprint` misses there,
/// at the first place. Tasks that one of the `tags` excludes say nothing.
pub fn unheard(blueprint: &Blueprint, given: &Given, tags: &BTreeSet<String>) -> Vec<Diagnostic> {
    let manifest = &blueprint.manifest;
    let mut set: BTreeSet<String> = of_commands(&given.process).into_keys().collect();
    let usual: Vec<&str> = USUAL.split_whitespace().collect();
    set.retain(|name| {
        !may_be_lent(name) && !usual.contains(&name.as_str()) && !BEGINNINGS.iter().any(|start| name.starts_with(start))
            || name.starts_with("ALLOY_")
    });
    let required = manifest.required_env.iter().map(|required| &required.name);
    let image = manifest.image.env.iter().map(|(name, _)| name);
    for name in required.chain(image).chain(blueprint.variables.keys()).chain(given.env_file.keys()) {
        set.remove(name);
    }
    let mut found: BTreeMap<String, Diagnostic> = BTreeMap::new();
    for task in blueprint.files.iter().flat_map(|file| &file.tasks).filter(|task| !is_excluded(task, tags)) {
        let own = |name: &str| match task.fields.get("env").map(|node| &node.value) {
            Some(Value::Mapping(env)) => env.entries.iter().any(|(key, _)| key.text == name),
            _ => false,
        };
        for (text, span) in scripts(&task.fields) {
            for name in missed(text, &set) {
                if !own(name) && !found.contains_key(name) && !blueprint.texts().any(|(_, text)| assigns(text, name)) {
                    found.insert(name.to_owned(), told(name, span));
                }
            }
        }
    }
    let mut found: Vec<Diagnostic> = found.into_values().take(MAX_PROBLEMS).collect();
    found.sort_by_key(|warning| warning.span);
    found
}

fn told(name: &str, span: Span) -> Diagnostic {
    let message = format!("`${name}` is set here, and a build does not hand it to its commands");
    let help = format!("add {name} to `required_env:` in manifest.yml, or give it with --env-file");
    Diagnostic::warning("not-handed-on", span, message).label("not set in a build").help(help)
}

/// Scripts of a task, those of one architecture included.
fn scripts(fields: &Mapping) -> Vec<(&str, Span)> {
    let mut found = Vec::new();
    for (key, node) in &fields.entries {
        match &node.value {
            Value::Scalar { text, .. } if SCRIPTS.contains(&key.text.as_str()) => {
                found.push((text.as_str(), node.span))
            }
            Value::Mapping(blocks) if key.text == "per_arch" => {
                let blocks = blocks.entries.iter().map(|(_, block)| &block.value);
                found.extend(blocks.flat_map(|block| match block {
                    Value::Mapping(fields) => scripts(fields),
                    _ => Vec::new(),
                }));
            }
            _ => {}
        }
    }
    found
}

/// Those of `set` that `script` refers to, and does not set itself.
fn missed<'s>(script: &str, set: &'s BTreeSet<String>) -> Vec<&'s str> {
    let named: Vec<&str> = set.iter().map(String::as_str).filter(|name| script.contains(*name)).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let apart = |c: char| matches!(c, ';' | '&' | '|' | '\n' | '(' | ')' | '{' | '}');
    let mut own = BTreeSet::new();
    for command in script.split(apart) {
        let mut words = command
            .split_whitespace()
            .skip_while(|word| matches!(*word, "then" | "do" | "else" | "!" | "while" | "if" | "until"));
        let words: Vec<&str> = words.by_ref().collect();
        match words.split_first() {
            Some((first, _)) if READING.contains(first) => return Vec::new(),
            Some((first, rest)) if SETTING.split(' ').any(|setting| setting == *first) => {
                own.extend(rest.iter().copied())
            }
            _ => {}
        }
    }
    let referred = references(script);
    named.into_iter().filter(|name| referred.contains(name) && !own.contains(name)).collect()
}

/// True if a text has `NAME=`, and not of the variable's own value.
fn assigns(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        let after = after.strip_prefix('+').unwrap_or(after);
        let Some(value) = after.strip_prefix('=').or_else(|| after.strip_prefix(":=")) else { return false };
        let value = value.trim_start_matches(['"', '\'', '\\']);
        let own = value.strip_prefix('$').map(|value| value.trim_start_matches('{'));
        let own = own.and_then(|value| value.strip_prefix(name)).is_some_and(|rest| !rest.starts_with(of_name));
        !before.ends_with(of_name) && !own
    })
}

fn of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Names of variables in a script, outside of comments and of what stands in single quotes or in a document that is
/// taken as it is.
fn references(script: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let (mut double, mut before, mut at) = (false, '\n', 0);
    let mut documents: Vec<&str> = Vec::new();
    while let Some(c) = script[at..].chars().next() {
        let next = at + c.len_utf8();
        let rest = &script[next..];
        let mut to = next;
        match c {
            '\\' => to = next + rest.chars().next().map_or(0, char::len_utf8),
            '"' => double = !double,
            '\'' if !double => to = rest.find('\'').map_or(script.len(), |end| next + end + 1),
            '#' if !double && (before.is_whitespace() || before == ';') => {
                to = rest.find('\n').map_or(script.len(), |end| next + end)
            }
            '<' if !double && rest.starts_with('<') => {
                let word = rest[1..].trim_start_matches('-').trim_start();
                if let Some(quote) = word.chars().next().filter(|c| matches!(c, '\'' | '"' | '\\')) {
                    let word = &word[1..];
                    let end = word.find(|c: char| c == quote || c.is_whitespace()).unwrap_or(word.len());
                    documents.push(&word[..end]);
                    to = next + 1;
                }
            }
            '\n' => {
                for end in documents.drain(..) {
                    let mut lines = script[to..].split_inclusive('\n');
                    for line in lines.by_ref() {
                        to += line.len();
                        if line.trim() == end {
                            break;
                        }
                    }
                }
            }
            '$' => {
                let name = rest.strip_prefix('{').unwrap_or(rest).trim_start_matches('#');
                let end = name.find(|c: char| !of_name(c)).unwrap_or(name.len());
                found.extend(Some(&name[..end]).filter(|name| !name.is_empty()));
            }
            _ => {}
        }
        before = c;
        at = to;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_where_a_shell_has_them() {
        let script = "echo $A \"${B:-'$C'}\" '$D' \\$E # $F\ncat <<'X' > f\n$G\nX\ncat <<Y\n$H '$I'\nY\nx=${#J}#$K";
        let found: Vec<&str> = references(script).into_iter().collect();
        assert_eq!(found, ["A", "B", "C", "H", "J", "K"]);
        for odd in ["$", "${", "'", "\"", "\\", "<<'", "<<\"X\n", "#"] {
            assert!(references(odd).is_empty(), "{odd}");
        }
    }

    #[test]
    fn what_a_script_sets_itself_is_not_missed() {
        let set: BTreeSet<String> = ["SITE".to_owned()].into();
        for script in [
            "for SITE in a b; do echo $SITE; done",
            "read -r SITE < f; echo $SITE",
            "while read SITE; do echo $SITE; done",
            "local SITE; echo $SITE",
            ". /etc/site; echo $SITE",
            "eval \"$x\"; echo $SITE",
            "echo SITE",
            "echo $SITES",
        ] {
            assert!(missed(script, &set).is_empty(), "{script}");
        }
        for script in ["echo $SITE", "test -n \"${SITE:-}\"", "echo \"SITE=$SITE\" > f", "make SITE=\"$SITE\""] {
            assert_eq!(missed(script, &set), ["SITE"], "{script}");
            assert!(!assigns(script, "SITE"), "{script}");
        }
        for script in ["SITE=a; echo $SITE", "export SITE=$OTHER", ": ${SITE:=x}", "SITE=$SITES", "SITE+=a"] {
            assert!(assigns(script, "SITE"), "{script}");
        }
        assert!(!assigns("OFFSITE=a SITE-x=1", "SITE"));
    }

    proptest::proptest! {
        #[test]
        fn no_script_breaks_it(script in "([ -~\\n]{0,4}|\\$\\{?A|<<-?['\"\\\\]?|['\"\\\\#]|ö){0,12}") {
            let found = references(&script);
            proptest::prop_assert!(found.iter().all(|name| script.contains(*name)));
        }
    }
}
