//! Fields of other tools that no action has, and what does the same here: for who writes a task from memory.

/// What is lost where such a field is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// A check: the task would take what it should refuse.
    Check,
    /// Who asks, or on what condition: the task would do something else.
    Meaning,
    /// Something that goes another way here.
    Way,
}

/// Words of other tools, what is lost with them, and what to do.
type Words = (&'static [&'static str], Loss, &'static str);

const FOREIGN: &[Words] = &[
    (
        &[
            "sha512",
            "sha384",
            "sha1",
            "md5",
            "md5sum",
            "sha512sum",
            "sha1sum",
            "integrity",
            "b2sum",
            "signature",
            "gpg_key",
            "pgp_key",
        ],
        Loss::Check,
        "alloy checks a download by its `sha256`, beside its `url`: check the file once, and take it from `sha256sum FILE`",
    ),
    (
        &["sha256"],
        Loss::Check,
        "it belongs beside the `url` that it is the digest of, as in an entry `{url: …, sha256: …}` of `debs`; what a command \
         fetches, it checks itself: `sha256sum -c`; a git repository is pinned by a commit",
    ),
    (
        &[
            "headers",
            "header",
            "http_headers",
            "username",
            "password",
            "url_username",
            "url_password",
            "token",
            "auth",
            "bearer",
            "netrc",
        ],
        Loss::Meaning,
        "a blueprint holds no credentials: for downloads give --header 'HOST: NAME: value' or a `machine` in ~/.netrc; a \
         command gets a secret variable in `env`",
    ),
    (
        &["when", "if", "only_if", "onlyif", "condition", "conditions", "rules"],
        Loss::Meaning,
        "`skip_if` is a shell expression that skips the task where it exits 0; `exclude` leaves it out by tag, and \
         `per_arch` has what depends on the architecture",
    ),
    (&["workdir", "working_dir", "working_directory", "cwd", "chdir"], Loss::Way, "begin the command with `cd DIR &&`"),
    (
        &["ignore_errors", "ignore_error", "allow_failure", "continue_on_error", "failed_when"],
        Loss::Way,
        "write `|| true` behind the command that may fail",
    ),
    (
        &["retries", "retry", "until", "delay"],
        Loss::Way,
        "downloads are tried again by themselves; in a command write a loop, such as `for i in 1 2 3; do CMD && break; done`",
    ),
    (&["timeout"], Loss::Way, "write `timeout SECONDS CMD` in the command; --stall-timeout is that of downloads"),
    (&["become", "sudo"], Loss::Way, "tasks run as root; `run_as` names another user"),
    (&["chown", "group"], Loss::Way, "write `owner: USER:GROUP`"),
    (&["notify", "register", "loop", "with_items"], Loss::Way, "write a task for each, in the order in which they run"),
    (&["depends_on", "needs", "requires"], Loss::Way, "tasks run in the order in which they stand"),
];

/// What to say to somebody who writes the field `name` of another tool, and whether the task cannot do without it. Where
/// it has a `pinned` download, another check is one too many and no more.
pub(super) fn help(name: &str, pinned: bool) -> Option<(&'static str, bool)> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let (_, loss, help) = FOREIGN.iter().find(|(words, ..)| words.contains(&name.as_str()))?;
    let wrong = match loss {
        Loss::Check => !pinned,
        Loss::Meaning => true,
        Loss::Way => false,
    };
    Some((help, wrong))
}

#[cfg(test)]
mod tests {
    use super::super::COMMON;
    use super::*;

    #[test]
    fn every_word_stands_there_once_and_is_no_field_of_every_task() {
        let words = || FOREIGN.iter().flat_map(|(words, ..)| *words);
        let all: std::collections::BTreeSet<_> = words().collect();
        assert_eq!(all.len(), words().count());
        assert!(COMMON.iter().all(|field| !all.contains(&field.name)));
    }

    #[test]
    fn what_would_be_lost_decides() {
        for (name, pinned, wrong) in [
            ("sha512", false, true),
            ("sha512", true, false),
            ("Only-If", true, true),
            ("headers", false, true),
            ("cwd", false, false),
        ] {
            assert_eq!(help(name, pinned).map(|(_, wrong)| wrong), Some(wrong), "{name}");
        }
        assert!(help("colour", false).is_none());
    }
}
