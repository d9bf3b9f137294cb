//! What a clone's own configuration may say. git runs programs that it names (git-config(1): `core.fsmonitor`, filters,
//! signatures, helpers), and a directory that somebody else has filled can name any. What alloy's clones have is little.

use std::path::Path;

/// Keys that name no program, by section.
const KNOWN: [(&str, &[&str]); 8] = [
    (
        "core",
        &[
            "autocrlf",
            "bare",
            "filemode",
            "ignorecase",
            "logallrefupdates",
            "precomposeunicode",
            "quotepath",
            "repositoryformatversion",
            "symlinks",
        ],
    ),
    ("remote", &["fetch", "pushurl", "tagopt", "url"]),
    ("branch", &["merge", "rebase", "remote"]),
    ("user", &["email", "name", "signingkey"]),
    ("commit", &["gpgsign"]),
    ("pull", &["ff", "rebase"]),
    ("push", &["autosetupremote", "default"]),
    ("extensions", &["objectformat"]),
];

/// What about the repository in `directory` is not to be trusted: a phrase about it.
pub(super) fn foreign(directory: &Path) -> Option<String> {
    let git = directory.join(".git");
    if !git.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Some("its .git is no directory".to_owned());
    }
    for name in ["commondir", "config.worktree"] {
        if git.join(name).symlink_metadata().is_ok() {
            return Some(format!("its .git has a file `{name}`"));
        }
    }
    let path = git.join("config");
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() < 1 << 20) {
        return Some("its .git/config is no file".to_owned());
    }
    match layers::regular::text(&path, 1 << 20) {
        Ok(text) => unknown(&text).map(|key| format!("its .git/config sets `{key}`")),
        Err(error) => Some(format!("its .git/config cannot be read: {error}")),
    }
}

/// The first setting that is not among the known ones. What this reader takes for another setting than git does is
/// unknown as well: it knows no continued lines, and only plain names.
fn unknown(text: &str) -> Option<String> {
    let mut section = String::new();
    for line in text.lines() {
        let mut rest = line.trim();
        if let Some(inner) = rest.strip_prefix('[') {
            let Some((header, after)) = inner.split_once(']') else { return Some(line.to_owned()) };
            let (name, of) = header.split_once(' ').map_or((header, ""), |(name, of)| (name, of.trim()));
            let of = of.strip_prefix('"').and_then(|of| of.strip_suffix('"')).unwrap_or(of);
            if !of.chars().all(|c| c.is_alphanumeric() || "-_./+@".contains(c)) {
                return Some(header.to_owned());
            }
            section = name.to_ascii_lowercase();
            rest = after.trim();
        }
        if rest.is_empty() || rest.starts_with(['#', ';']) {
            continue;
        }
        let key = rest.split(['=', ' ', '\t', '#', ';']).next().unwrap_or_default().to_ascii_lowercase();
        let known = KNOWN.iter().any(|(name, keys)| *name == section && keys.contains(&key.as_str()));
        if !known || rest.ends_with('\\') {
            return Some(format!("{section}.{key}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clone_has_is_known() {
        let text = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tsymlinks = false\n\
                    [remote \"origin\"]\n\turl = https://a.example/c.git\n\tfetch = +refs/heads/main:refs/remotes/origin/main\n\
                    [branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n# mine\n[user] name = Ann\n";
        assert_eq!(unknown(text), None);
    }

    #[test]
    fn what_names_a_program_is_not() {
        for (text, key) in [
            ("[core]\nfsmonitor = ./x\n", "core.fsmonitor"),
            ("[core] fsmonitor = ./x\n", "core.fsmonitor"),
            ("[CORE]\n FSMonitor=./x\n", "core.fsmonitor"),
            ("[filter \"a\"]\nclean = ./x\n", "filter.clean"),
            ("[log]\nshowSignature = true\n", "log.showsignature"),
            ("[include]\npath = /tmp/x\n", "include.path"),
            ("[core]\nbare = false\\\nfsmonitor = x\n", "core.bare"),
            ("[remote \"a]\nurl = x\n", "remote \"a"),
            ("fsmonitor = x\n", ".fsmonitor"),
            ("[core.x]\nbare = false\n", "core.x.bare"),
        ] {
            assert_eq!(unknown(text).as_deref(), Some(key), "{text}");
        }
    }
}
