//! Whom steps run commands as, and what makes these users.

use super::{Command, Op, Step};

/// A user that a step needs.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// The first step that needs it.
    pub step: &'a Step,
    /// The step runs, as far as anybody can say; else its `skip_if` may hold.
    pub sure: bool,
}

/// Users that `steps` run commands as, each with the first step that does so, if there is one that does for sure. Left out
/// are those that a step before seems to make. `dev` is the developer's name: files of that owner need it, too, while those
/// of others may be of packages' users. `there` says whether what a step `creates` is there already.
pub fn users_wanted<'a>(steps: &[&'a Step], dev: Option<&str>, mut there: impl FnMut(&str) -> bool) -> Vec<Wanted<'a>> {
    let mut wanted: Vec<Wanted<'a>> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let owners = step.ops.iter().filter_map(owner).filter(|name| Some(*name) == dev);
        let names: Vec<&str> = step.ops.iter().filter_map(user).chain(owners).collect();
        if names.is_empty()
            || step.guards.creates.as_deref().is_some_and(|it| creates(step, it, &steps[..at], &mut there))
        {
            continue;
        }
        for name in names {
            let skip_if = step.guards.skip_if.as_deref();
            if skip_if.is_some_and(|it| asks_for(it, name)) || steps[..at].iter().any(|step| mentions(step, name)) {
                continue;
            }
            let new = Wanted { name, step, sure: skip_if.is_none() };
            match wanted.iter_mut().find(|other| other.name == name) {
                None => wanted.push(new),
                Some(other) if new.sure && !other.sure => *other = new,
                Some(_) => {}
            }
        }
    }
    wanted
}

/// True if what `step` creates may be there when it begins.
fn creates(step: &Step, path: &str, before: &[&Step], there: &mut impl FnMut(&str) -> bool) -> bool {
    let by = |op: &Op| match op {
        Op::Run { command: Command::Shell(text) | Command::Strict(text), .. } => text.contains(path),
        Op::Run { command: Command::Argv(words), .. } => words.iter().any(|word| word.contains(path)),
        Op::MakeDir { path: made } | Op::WriteFile { path: made, .. } | Op::PlaceBlob { path: made, .. } => {
            made == path
        }
        Op::Unpack { dest, .. } | Op::Copy { dest, .. } => dest == path,
        _ => false,
    };
    !step.guards.always_run && (before.iter().flat_map(|step| &step.ops).any(by) || there(path))
}

/// True for a condition that holds where there is no user `name`: such a step waits for one.
fn asks_for(condition: &str, name: &str) -> bool {
    let missing = ["! id ", "! getent ", "-z \"$(id ", "-z \"$(getent ", "! -d /home/", "! -d ~"];
    let asked = missing.iter().any(|asked| condition.contains(asked));
    let asked = asked || condition.contains("! grep ") && condition.contains("/etc/passwd");
    asked && (speaks(condition, name) || condition.contains(&format!("~{name}")))
}

/// Whose an operation makes files.
fn owner(op: &Op) -> Option<&str> {
    match op {
        Op::SetAttributes { owner, .. } => owner.as_ref().map(|owner| owner.user.as_str()),
        _ => None,
    }
}

/// Whom an operation runs a command as, if not as root.
pub fn user(op: &Op) -> Option<&str> {
    match op {
        Op::Run { user, .. } => user.as_deref(),
        _ => None,
    }
}

/// True if a step has a command, or a package, that speaks of `name`: it may well be what makes the user.
fn mentions(step: &Step, name: &str) -> bool {
    step.ops.iter().any(|op| match op {
        Op::Run { user: Some(user), .. } if user != "root" => false,
        Op::Run { command: Command::Shell(text) | Command::Strict(text), .. } => names(text, name),
        Op::Run { command: Command::Argv(words), .. } => names(&words.join(" "), name),
        Op::AptInstall { packages, debs, .. } => {
            !debs.is_empty() || packages.iter().any(|package| is_of(package, name))
        }
        Op::EnsureUser { name: made, .. } => made == name,
        Op::WriteFile { path, .. } | Op::PlaceBlob { path, .. } | Op::Copy { dest: path, .. } => path == "/etc/passwd",
        _ => false,
    })
}

/// What a command says that runs a file, or installs a package that is one: nobody knows whom these make.
const OPAQUE: [&str; 6] = ["dpkg", ".sh", "./", "| sh", "| bash", "source "];

/// True for a text that runs what cannot be read here.
fn is_opaque(text: &str) -> bool {
    let own = |program: &str| ["/bin/", "/sbin/", "/usr/"].iter().any(|place| program.starts_with(place));
    let mut commands =
        text.split(['\n', ';', '&', '|', '(', ')', '{', '}']).filter_map(|it| it.split_whitespace().next());
    OPAQUE.iter().any(|words| text.contains(words))
        || commands.any(|program| program.contains('/') && !program.contains('=') && !own(program))
}

/// Letters of a name that says enough for the package of a longer one, as `postgresql`, to be its.
const TELLING: usize = 4;

/// True if `package` may be what makes the user `name`: a part of its name is, or begins so. What headers are in (`…-dev`)
/// makes nobody.
fn is_of(package: &str, name: &str) -> bool {
    let package = package.split(['=', ':', '/']).next().unwrap_or_default();
    let package = ["-dev", "-dbg", "-doc"].iter().find_map(|end| package.strip_suffix(end)).unwrap_or(package);
    package == name
        || package.split('-').any(|part| part == name || name.len() >= TELLING && part.starts_with(name))
        || name.contains('-') && package.starts_with(name)
}

/// Programs that make users, whatever these are called: in a loop, the script does not have their names.
const MAKERS: [&str; 4] = ["useradd", "adduser", "newusers", "sysusers"];

/// Programs that make nobody, whomever they name.
const USERS: [&str; 9] = ["chown", "chgrp", "install", "setfacl", "su", "runuser", "id", "usermod", "getent"];

/// True for a text that makes users, or in which `name` is a word that is no part of a path: `/dev/null` does not speak
/// of `dev`, `/home/dev` does. Who gives files to a user does not make it.
fn names(text: &str, name: &str) -> bool {
    if MAKERS.iter().any(|maker| text.contains(maker)) || is_opaque(text) {
        return true;
    }
    let commands = text.split(['\n', ';', '&', '|', '(', ')', '{', '}']);
    commands.filter(|command| !only_uses(command)).any(|command| speaks(command, name))
}

/// True for a command that needs users, and makes none.
fn only_uses(command: &str) -> bool {
    let keyword =
        |word: &&str| matches!(*word, "if" | "then" | "else" | "elif" | "while" | "until" | "do" | "!" | "sudo");
    let program = command.split_whitespace().find(|word| !keyword(word)).unwrap_or_default();
    USERS.contains(&program.rsplit('/').next().unwrap_or_default())
}

fn speaks(text: &str, name: &str) -> bool {
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let path = before.ends_with('/') && !before.ends_with("home/");
        !path && !before.ends_with(of_word) && !after.starts_with(of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::{asks_for, is_of, names};

    #[test]
    fn packages_are_known_by_parts_of_their_names() {
        for (package, name) in [
            ("postgresql-15", "postgres"),
            ("rabbitmq-server", "rabbitmq"),
            ("gitlab-runner", "gitlab-runner"),
            ("www-data", "www-data"),
        ] {
            assert!(is_of(package, name), "{package} {name}");
        }
        for (package, name) in [
            ("libssl-dev", "dev"),
            ("device-tree-compiler", "dev"),
            ("libudev-dev:arm64", "dev"),
            ("build-essential", "builder"),
        ] {
            assert!(!is_of(package, name), "{package} {name}");
        }
    }

    #[test]
    fn what_runs_a_file_may_make_anybody() {
        for text in ["/opt/setup.sh", "cd /opt && ./setup", "dpkg -i /opt/x.deb", "/opt/vendor/installer --yes"] {
            assert!(names(text, "dev"), "{text}");
        }
        for text in ["mkdir -p /opt/dev", "/usr/bin/env true", "A=/x/y true", "echo x > /srv/x"] {
            assert!(!names(text, "dev"), "{text}");
        }
    }

    #[test]
    fn who_waits_for_a_user_says_so() {
        for condition in
            ["! id dev", "! id -u dev >/dev/null 2>&1", "test ! -d /home/dev", "[ -z \"$(getent passwd dev)\" ]"]
        {
            assert!(asks_for(condition, "dev"), "{condition}");
        }
        for condition in [
            "id dev",
            "test -e /home/dev/.done",
            "! id other",
            "! grep dev /etc/fstab",
            "getent passwd dev",
            "grep -q x /etc/passwd",
        ] {
            assert!(!asks_for(condition, "dev"), "{condition}");
        }
    }

    #[test]
    fn what_speaks_of_a_user_is_no_path() {
        for text in [
            "useradd -m dev",
            "for i in 1 2; do useradd u$i; done",
            "mkdir /home/dev",
            "id dev || ./make-user dev",
            "./make-user dev",
        ] {
            assert!(names(text, "dev"), "{text}");
        }
        for text in [
            "echo x > /dev/null",
            "apt-get install libfoo-dev",
            "devs",
            "echo a_dev",
            "install -d -o dev /x",
            "mkdir -p /opt/x && chown -R dev:dev /opt/x",
            "if ! id dev; then exit 1; fi",
        ] {
            assert!(!names(text, "dev"), "{text}");
        }
    }
}
