//! What the last output of a task says to who has seen it before.

use super::checkouts;
use crate::op::{Op, Pinned, Step};
use crate::resolve::Resolver;
use crate::ssh::Ssh;

/// What went wrong: words of the output, all of which are in one line, and what helps.
type Case = (&'static [&'static str], &'static str);

const MACHINE: &str = "a package's script, or the command, wants a running udev, systemd or D-Bus, and an image has none. \
                       `apt_install` and `apt-get` have stand-ins for `udevadm` and `systemctl` where scripts find them by \
                       name; where they do not, put one there for the time of the installation: `dpkg-divert --rename --add \
                       /bin/udevadm && ln -s /bin/true /bin/udevadm` before it, and `rm /bin/udevadm && dpkg-divert --rename \
                       --remove /bin/udevadm` after it";

const SYSTEMD: &str = "a package's script, or the command, wants more of systemctl than to start and stop services, and this \
                       image has no systemd: with the package `systemd`, installed by a task before, `enable`, `mask`, \
                       `preset` and `is-enabled` work without one that runs";

const NO_SYSTEMCTL: &str = "this image has no systemctl. Package scripts have a stand-in for it, other commands do not: nothing \
                            runs while an image is built, so leave out what starts, stops or reloads; for `enable`, `mask` \
                            and `preset` install the package `systemd` in a task before, which needs none that runs";

const NO_GIT: &str = "`git` is not on the PATH: `apt_install` it in a task before";

const WINDOWS: &str = "the script has the line ends of Windows: write it with LF alone (dos2unix; `*.sh text eol=lf` in \
                       .gitattributes)";

const LOGIN: &str = "the git server wants to know who asks: give it by `machine HOST login USER password TOKEN` in ~/.netrc, by \
                     --header 'HOST: Authorization: Bearer $TOKEN' (ALLOY_HEADERS, config.yml), or by a secret variable in the \
                     URL; it is told to the commands that clone, and kept nowhere";

const OFFLINE: &str = "this task has no network (`network: none` of the task, or `--network none`): let it have one, or have \
                       alloy fetch what it wants (`get_file`, `apt_install`, a lockfile), which needs none of the task's";

/// What programs say who ask for a name without a network.
const NO_NETWORK: [&str; 6] = [
    "Could not resolve host",
    "Temporary failure in name resolution",
    "Temporary failure resolving",
    "Name or service not known",
    "Network is unreachable",
    "EAI_AGAIN",
];

const NO_KEY: &str = "apt has no key for that repository in the file that its `signed-by` names: a key that begins with `-----BEGIN \
                      PGP` is read from a file whose name ends in `.asc`, any other from one that ends in `.gpg`";

/// Of commands that clone, wherever they run.
const LOGINS: [Case; 4] = [
    (&["could not read Username"], LOGIN),
    (&["Authentication failed for"], LOGIN),
    (&["HTTP Basic: Access denied"], LOGIN),
    (&["The requested URL returned error: 40", "unable to access"], LOGIN),
];

/// Of scripts that want more of a machine than an image is.
const MACHINES: [Case; 13] = [
    (&["NO_PUBKEY"], NO_KEY),
    (&["udevadm", "not found"], MACHINE),
    (&["udevadm", "No such file"], MACHINE),
    (&["udevadm", "Failed to"], MACHINE),
    (&["Failed to send reload request"], MACHINE),
    (&["Failed to scan devices"], MACHINE),
    (&["Failed to write", "uevent"], MACHINE),
    (&["Running in chroot", "ignoring"], MACHINE),
    (&["System has not been booted with systemd"], MACHINE),
    (&["Failed to connect to bus"], MACHINE),
    (&["Failed to connect to system scope bus"], MACHINE),
    (&["systemctl", "not found"], NO_SYSTEMCTL),
    // What alloy's own says, which is there while there is no other.
    (&["systemctl: not installed in this image"], SYSTEMD),
];

const NO_SHELL: &str = "the image has no such program: commands want a base with a shell, bash, such as deb:bookworm, or a \
                        task before that brings one; on `scratch` nothing is there but what tasks put there";

const LENT: &str = "alloy lends every command this machine's name servers and hosts, and what is written to those files would be \
                    in no image: a container gets its own when it starts";

/// Of images without what every command, or one that clones, wants, and of what is lent.
const SHELLS: [Case; 8] = [
    (&["/etc/hosts", "Read-only file system"], LENT),
    (&["/etc/resolv.conf", "Read-only file system"], LENT),
    (&[": git: not found"], NO_GIT),
    (&["git: command not found"], NO_GIT),
    (&["bad interpreter", "^M"], WINDOWS),
    (&["$'\\r': command not found"], WINDOWS),
    (&["alloy: cannot run bash: No such file"], NO_SHELL),
    (&["alloy: cannot run /bin/sh: No such file"], NO_SHELL),
];

/// What helps against what `output` of a command of `step` in an image says, if that is known.
pub(super) fn of(resolver: &Resolver<'_>, step: &Step, output: &[String]) -> Option<String> {
    checkouts::advice(resolver.fetcher(), resolver.runtime(), &step.checkouts, output)
        .or_else(|| moved(step, output))
        .or_else(|| offline(step, output))
        .or_else(|| known(output, resolver.ssh()))
}

/// What helps where a task without a network asked for a name.
fn offline(step: &Step, output: &[String]) -> Option<String> {
    let asked = |line: &String| NO_NETWORK.iter().any(|words| line.contains(words));
    (step.offline && output.iter().any(asked)).then(|| OFFLINE.to_owned())
}

/// What pip says that finds nothing of that name and version.
const NOT_THERE: &str = "No matching distribution found for ";

/// What helps against a package that is not among those that are pinned, since it was there already when they were.
fn moved(step: &Step, output: &[String]) -> Option<String> {
    let pinned = step.wanted.as_ref().is_some_and(|wanted| wanted.locked == Pinned::Whole);
    let missing = || output.iter().find_map(|line| line.split_once(NOT_THERE)).map(|(_, name)| name.trim());
    let name = pinned.then(missing).flatten()?;
    Some(format!(
        "{name} was there when this task was pinned, and what was below it then has changed: alloy lock --update=python"
    ))
}

/// The same of what has nothing to do with where something is checked out from; `ssh` is the agent that was lent.
fn known(output: &[String], ssh: Option<&Ssh>) -> Option<String> {
    let known = output.iter().rev().find_map(|line| advice(line).or_else(|| case(line, &SHELLS)));
    let known = known.map(str::to_owned);
    known.or_else(|| foreign(output)).or_else(|| Ssh::advice(output.iter().map(String::as_str), ssh))
}

/// The same of apt, which knows no package `name:arch`.
fn foreign(output: &[String]) -> Option<String> {
    let unknown =
        |line: &'_ String| line.split_once("Unable to locate package ").map(|(_, name)| name.trim().to_owned());
    let name = output.iter().find_map(unknown)?;
    let (package, arch) = name.split_once(':')?;
    Some(format!(
        "apt knows {arch} where `dpkg --add-architecture {arch}` was run, in a task before; if it was, there is no `{package}` \
         for {arch}"
    ))
}

/// The same of git servers, by whatever command of `step`.
pub fn git_advice(resolver: &Resolver<'_>, step: &Step, output: &[String]) -> Option<String> {
    let known = || output.iter().rev().find_map(|line| case(line, &LOGINS)).map(str::to_owned);
    checkouts::advice(resolver.fetcher(), resolver.runtime(), &step.checkouts, output)
        .or_else(known)
        .or_else(|| Ssh::advice(output.iter().map(String::as_str), resolver.ssh()))
}

/// True for what git says where a server wants to know who asks.
pub(super) fn wants_login(line: &str) -> bool {
    case(line, &LOGINS).is_some()
}

/// What helps against what the last of the lines says that is known.
pub fn advice(text: &str) -> Option<&'static str> {
    text.lines().rev().find_map(|line| case(line, &LOGINS).or_else(|| case(line, &MACHINES)))
}

/// Actions that run what a vendor has made to be run by hand: the field with its arguments, and what is usual there.
const INSTALLERS: [(&str, &str, &str); 2] = [
    ("sdk_install", "args", "`[-y, -d, DEST]` is what it gets without"),
    ("mcu_sdk", "install_args", "it gets none without"),
];

/// What an installer asks with, where it says what it expects.
const ASKING: [&str; 10] = [
    "[y/n]",
    "(y/n)",
    "[yes/no]",
    "(yes/no)",
    "yes or no",
    "press enter",
    "press any key",
    "press return",
    "eof when reading a line",
    "not a tty",
];
/// So many of its last lines may hold the question.
const LAST: usize = 6;

/// What helps where a script fails without a word.
const SILENT: &str =
    "it printed nothing: with `set -x` as the first line of `command`, each of its commands is shown before it runs";

/// What helps against commands of a step that failed with `exit`, or ended well and did nothing.
pub fn unspoken(step: &Step, output: &[String], exit: Option<i32>) -> Option<String> {
    let silent = step.is_own_commands() && exit.is_some() && output.iter().all(|line| line.trim().is_empty());
    if silent { Some(SILENT.to_owned()) } else { installer(step, output, exit) }
}

fn installer(step: &Step, output: &[String], exit: Option<i32>) -> Option<String> {
    let (_, field, usual) = INSTALLERS.iter().find(|(action, ..)| *action == step.action)?;
    let last = output.iter().rev().filter(|line| !line.trim().is_empty()).take(LAST);
    if let Some(asked) = asked(last) {
        return Some(format!(
            "it asks (`{asked}`), and nobody is there to answer: give its answers in `{field}`, as its `--help` names \
             them; {usual}"
        ));
    }
    // What a command says that failed is worth more than a guess.
    let dest = step.ops.iter().find_map(|op| match op {
        Op::Expect { path } if exit.is_none() => Some(path),
        _ => None,
    })?;
    Some(format!(
        "name in `dest` where it installs to, or tell it in `{field}` to install to {dest}, as its `--help` says; {usual}"
    ))
}

/// The line with which somebody was asked, the last first.
fn asked<'l>(mut last: impl Iterator<Item = &'l String>) -> Option<&'l str> {
    let asks = |line: &str| ASKING.iter().any(|words| line.to_lowercase().contains(words));
    let first = last.next().map(|line| line.trim())?;
    // A question without an answer ends the output.
    if asks(first) || first.ends_with(['?', ':']) && !first.to_lowercase().contains("error") {
        return Some(first);
    }
    last.map(|line| line.trim()).find(|line| asks(line))
}

fn case(line: &str, cases: &[Case]) -> Option<&'static str> {
    cases.iter().find(|(words, _)| words.iter().all(|word| line.contains(word))).map(|(_, help)| *help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_want_a_machine_are_known_by_what_they_say() {
        let of = |line: &str| known(&["Setting up x (1) ...".to_owned(), line.to_owned()], None);
        for line in [
            "/var/lib/dpkg/info/x.postinst: 3: /sbin/udevadm: not found",
            "Failed to send reload request: No such file or directory",
            "System has not been booted with systemd as init system (PID 1). Can't operate.",
            "Failed to connect to bus: No such file or directory",
            "Running in chroot, ignoring request: restart",
        ] {
            assert!(of(line).is_some_and(|help| help.contains("dpkg-divert")), "{line}");
        }
        assert!(of("fatal: could not read Username for 'https://a.example': terminal prompts disabled").is_some());
        assert!(of("git@a.example: Permission denied (publickey).").is_some_and(|help| help.contains("--ssh default")));
        assert!(
            of("alloy: cannot run bash: No such file or directory (os error 2)")
                .is_some_and(|it| it.contains("scratch"))
        );
        assert_eq!(of("make: *** [all] Error 2"), None);
    }

    #[test]
    fn a_script_that_fails_without_a_word_is_told_how_to_speak() {
        let step = |action: &str| Step { action: action.to_owned(), ..Step::default() };
        let of = |action: &str, output: &[&str], exit| {
            unspoken(&step(action), &output.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), exit)
        };
        assert!(of("run_command", &["", " "], Some(1)).is_some_and(|help| help.contains("set -x")));
        assert_eq!(of("run_command", &["cc: fatal"], Some(1)), None);
        assert_eq!(of("apt_install", &[], Some(1)), None);
    }

    #[test]
    fn a_task_without_a_network_is_told_so() {
        let said = ["curl: (6) Could not resolve host: x.test".to_owned()];
        let step = |offline| Step { offline, ..Step::default() };
        assert!(offline(&step(true), &said).is_some_and(|help| help.contains("network: none")));
        assert_eq!(offline(&step(false), &said), None);
        assert_eq!(offline(&step(true), &["no such file".to_owned()]), None);
    }

    #[test]
    fn programs_that_are_not_there_are_told_of_as_such() {
        let of =
            |line: &str| known(&[line.to_owned(), "ERROR: git cannot ask http://a.example/fw.git".to_owned()], None);
        assert_eq!(of("http://a.example/fw.git: 25: git: not found").as_deref(), Some(NO_GIT));
        assert_eq!(of("bash: line 1: git: command not found").as_deref(), Some(NO_GIT));
        assert_eq!(of("bash: line 1: systemctl: command not found").as_deref(), Some(NO_SYSTEMCTL));
        assert_eq!(of("bash: ./x.sh: /bin/sh^M: bad interpreter: No such file or directory").as_deref(), Some(WINDOWS));
    }

    #[test]
    fn an_installer_that_asks_is_told_of_with_the_field_for_its_answers() {
        let ops = vec![Op::Expect { path: "/opt/sdk".into() }];
        let of = |action: &str, lines: &[&str], exit| {
            let step = Step { action: action.into(), ops: ops.clone(), ..Step::default() };
            installer(&step, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), exit)
        };
        for lines in [
            &["Proceed [Y/n]? "][..],
            &["Where to:", ""],
            &["Do you accept (yes/no)", "install.sh: 3: cannot read"],
            &["Traceback", "EOFError: EOF when reading a line"],
        ] {
            for (action, field) in [("sdk_install", "`args`"), ("mcu_sdk", "`install_args`")] {
                let help = of(action, lines, Some(1)).unwrap();
                assert!(help.starts_with("it asks (`") && help.contains(field), "{help}");
            }
            assert_eq!(of("run_command", lines, Some(1)), None);
        }
        assert_eq!(of("sdk_install", &["installing", "error: no space:"], Some(1)), None);
        assert!(of("sdk_install", &["installing"], None).unwrap().contains("to install to /opt/sdk"));
    }
}
