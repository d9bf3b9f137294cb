//! Command lines by which login shells run what a task says. Not all of them speak the language of sh(1), and no text
//! that holds a secret stands on a command line.

use crate::image::path_directories;
use crate::op::{Command, EnvValue, RUN_SCRIPT};
use crate::target::TargetError;
use crate::target::accounts::Account;

/// Runs a program; one that is missing is named, with the place where it was looked for.
const EXEC: &str = r#"case $0 in
    */*) ;;
    *) command -v "$0" >/dev/null || {
        echo "\`$0\` is not on the PATH of $USER ($PATH): an earlier task has to install it"
        exit 127
    } ;;
esac
exec "$0" "$@""#;

/// What csh(1) reads as a login shell. tcsh takes no `-l` beside another option.
const CSH_LOGIN: &str = "if (-r /etc/csh.login) source /etc/csh.login\nif (-r ~/.login) source ~/.login\n";
/// Lets the csh `$0` read a script as from a file: its `eval` does not redirect what is built in.
const CSH_SCRIPT: &str = r#""$0" -c "$1
source /proc/$$/fd/3""#;
/// The same for fish(1), which leaves the shell at an `exit` in `eval` alone. What it finds in its environment it takes
/// for Latin-1 where no locale is set.
const FISH_SCRIPT: &str = r#""$0" -l -c "set -l alloy_script (command cat /proc/$$/fd/3 | string collect -N)
eval \$alloy_script""#;

/// Shells that speak the language of sh(1).
const POSIX: [&str; 16] = [
    "sh", "bash", "rbash", "dash", "ash", "ksh", "rksh", "mksh", "lksh", "pdksh", "oksh", "loksh", "zsh", "rzsh",
    "yash", "posh",
];

/// The language of a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Posix,
    Csh,
    Fish,
    Unknown,
}

impl Language {
    /// By the name of the program: `zsh-5.9`, `bsd-csh` and `bash-static` are what they are called after.
    fn of(shell: &str) -> Self {
        let name = shell.rsplit('/').next().unwrap_or_default();
        let parts = name.split('-').map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'));
        let languages = parts.map(|part| match part {
            "csh" | "tcsh" => Self::Csh,
            "fish" => Self::Fish,
            part if POSIX.contains(&part) => Self::Posix,
            _ => Self::Unknown,
        });
        languages.into_iter().find(|language| *language != Self::Unknown).unwrap_or(Self::Unknown)
    }
}

/// The command line by which bash runs `text` and ends at the first command that fails, also in a `$(…)`.
pub(super) fn strict(text: &str) -> Vec<String> {
    owned(&["bash", "-O", "inherit_errexit", "-e", "-o", "pipefail", "-c", text])
}

/// What is said of `PATH` again after a profile has set it.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths<'a> {
    /// The base image's, whose directories the finished image has as well.
    pub base: Option<&'a str>,
    /// What the step makes of it, one after the other.
    pub set: Vec<EnvValue>,
}

impl Paths<'_> {
    /// Statements of sh(1).
    fn script(&self) -> String {
        let mut script = self.base.map(merging).unwrap_or_default();
        script.extend(self.set.iter().map(|path| format!("PATH=\"{}\"; ", path.for_shell())));
        // A profile may have made it one that nobody sets.
        if script.is_empty() { script } else { format!("if (PATH=$PATH) 2>/dev/null; then {script}export PATH; fi; ") }
    }
}

/// Puts the directory `$1` into `PATH` before `$2`, which is there, or at its end.
const ADD: &str = r#"alloy_path() { case :$PATH: in
    *":$1:"*) ;;
    *) if [ "$2" ]; then
        set -- "$1" "$2" ":$PATH:"
        PATH=${3%%":$2:"*}:$1:$2:${3#*":$2:"} && PATH=${PATH#:} && PATH=${PATH%:}
    else
        PATH=$PATH:$1
    fi ;;
esac; }; "#;

/// Statements of sh(1) that put the directories which `base` alone has into `PATH`, in the order that the finished image
/// gives them: each stands before the one that follows it in `base`.
fn merging(base: &str) -> String {
    let quoted = |directory: &str| format!("'{}'", directory.replace('\'', r"'\''"));
    let mut script = ADD.to_owned();
    let mut following = "''".to_owned();
    for directory in path_directories(base).into_iter().rev().map(quoted) {
        script.push_str(&format!("alloy_path {directory} {following}; "));
        following = directory;
    }
    script.push_str("unset -f alloy_path; ");
    script
}

/// Shells that print without another program.
const PRINTING: [&str; 8] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "yash", "busybox"];
/// Prints [`MARKER`].
const MARK: &str = r"printf '\0alloy\0'; ";

/// The command line by which the login shell of `account` runs `command`, and whether it prints [`MARKER`] when it has come
/// to that. A profile may set `PATH` anew: `paths` are set after it, where the shell speaks the language of sh(1) and lets
/// it be set.
pub(super) fn command_line(
    account: &Account,
    command: &Command,
    paths: &Paths,
) -> Result<(Vec<String>, bool), TargetError> {
    let shell = account.command_shell();
    let called = shell.rsplit('/').next().unwrap_or_default();
    let marked = PRINTING.contains(&called);
    let set = format!("{}{}", if marked { MARK } else { "" }, paths.script());
    let login = |shell: &str, text: &str| match Language::of(shell) {
        Language::Posix if !set.is_empty() && !restricted(shell) => login_shell(shell, &format!("{set}{text}")),
        _ => login_shell(shell, text),
    };
    let language = Language::of(shell);
    let words = match command {
        Command::Shell(text) if text == RUN_SCRIPT => match language {
            Language::Posix => return Ok((login(shell, text), marked)),
            Language::Csh => return Ok((owned(&["/bin/sh", "-c", &by_pipe(CSH_SCRIPT), shell, CSH_LOGIN]), false)),
            Language::Fish => return Ok((owned(&["/bin/sh", "-c", &by_pipe(FISH_SCRIPT), shell]), false)),
            Language::Unknown => {
                return Err(TargetError::Shell { user: account.name.clone(), shell: shell.to_owned() });
            }
        },
        Command::Shell(text) => return Ok((login(shell, text), marked)),
        Command::Strict(text) => &strict(text),
        Command::Argv(words) => words,
    };
    let mut line = match language {
        Language::Posix | Language::Unknown => login(shell, EXEC),
        Language::Csh => [login_shell(shell, "exec $argv:q"), owned(&["/bin/sh", "-c", EXEC])].concat(),
        Language::Fish => [login_shell(shell, "exec $argv"), owned(&["/bin/sh", "-c", EXEC])].concat(),
    };
    line.extend(words.iter().cloned());
    Ok((line, marked))
}

/// True of shells that redirect nothing and let nobody set `PATH`.
fn restricted(shell: &str) -> bool {
    shell.rsplit('/').next().unwrap_or_default().starts_with('r')
}

/// The command line by which `shell` runs `text` as a login shell.
fn login_shell(shell: &str, text: &str) -> Vec<String> {
    match Language::of(shell) {
        Language::Csh => owned(&[shell, "-c", &format!("{CSH_LOGIN}{text}")]),
        _ => owned(&[shell, "-l", "-c", text]),
    }
}

/// What comes before the environment in what [`environment_line`] prints.
pub const MARKER: &[u8] = b"\0alloy\0";

/// The command line by which a login shell prints its environment behind a marker: profiles may print something of their
/// own. Where the shell's language allows it, that is what they say is wrong, and nothing else; and `env` is found whatever
/// a profile makes of `PATH`.
pub fn environment_line(shell: &str) -> Vec<String> {
    if Language::of(shell) != Language::Posix || restricted(shell) {
        return login_shell(shell, "printf '\\0alloy\\0'; env -0");
    }
    let apart = r#"exec 8>&1 >/dev/null; exec "$0" -l -c "$1""#;
    owned(&[shell, "-c", apart, shell, "{ printf '\\0alloy\\0'; command -p env -0; } >&8"])
}

/// A script for sh(1) that runs `line`, with the script of the environment in the pipe that is its descriptor 3. csh
/// closes all descriptors that it is given: it has to open its parent's, which only its user can.
fn by_pipe(line: &str) -> String {
    // No `exec`, spoken or unspoken: the parent has to stay.
    format!("alloy_script=$ALLOY_SCRIPT; unset ALLOY_SCRIPT\nexec 3<<END\n$alloy_script\nEND\n{line}\nexit $?")
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(shell: &str) -> Account {
        let text = str::to_owned;
        Account { name: text("dev"), uid: 1000, gid: 1000, home: text("/home/dev"), shell: text(shell) }
    }

    #[test]
    fn shells_are_known_by_their_names() {
        for (shell, language) in [
            ("/bin/sh", Language::Posix),
            ("/usr/bin/zsh-5.9", Language::Posix),
            ("/bin/ksh93", Language::Posix),
            ("/bin/bash-static", Language::Posix),
            ("/bin/bsd-csh", Language::Csh),
            ("/usr/bin/tcsh", Language::Csh),
            ("/usr/bin/fish", Language::Fish),
            ("/usr/bin/xonsh", Language::Unknown),
            ("/usr/bin/git-shell", Language::Unknown),
        ] {
            assert_eq!(Language::of(shell), language, "{shell}");
        }
    }

    #[test]
    fn the_base_s_directories_are_merged_into_a_profile_s_path() {
        let merged = |profile: &str, base: &str| {
            let paths = Paths { base: Some(base), set: Vec::new() };
            let script = format!("{}printf %s \"$PATH\"", paths.script());
            ["sh", "bash"].map(|shell| {
                let mut command = std::process::Command::new(format!("/bin/{shell}"));
                let output = command.args(["-c", &script]).env("PATH", profile).output().unwrap();
                assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).unwrap()
            })
        };
        for (profile, base, expected) in [
            ("/usr/bin:/bin", "/go/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/go/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("/usr/bin:/bin", "/usr/bin:/bin", "/usr/bin:/bin"),
            ("/usr/bin:/bin:/games", "/bin:/last", "/usr/bin:/bin:/games:/last"),
            ("/a b:/c", "/it's *:/c:$HOME", "/a b:/it's *:/c:$HOME"),
            ("/only", "", "/only"),
            ("/usr/bin:/bin", "/first:/usr/bin:/bin:/first:/usr/bin", "/first:/usr/bin:/bin"),
        ] {
            assert_eq!(merged(profile, base), [expected, expected], "{profile} with {base}");
            assert_eq!(crate::image::merged_path(profile, base), expected);
        }
    }

    #[test]
    fn a_script_with_a_secret_is_told_in_the_shells_own_language() {
        let script = Command::Shell(RUN_SCRIPT.to_owned());
        let line = |shell| command_line(&account(shell), &script, &Paths::default()).map(|(line, _)| line);
        let marked = format!("{MARK}{RUN_SCRIPT}");
        assert_eq!(line("/bin/bash").unwrap(), ["/bin/bash", "-l", "-c", &marked]);
        assert_eq!(line("/usr/sbin/nologin").unwrap(), ["/bin/sh", "-l", "-c", &marked]);
        assert_eq!(line("/bin/rbash").unwrap(), ["/bin/rbash", "-l", "-c", RUN_SCRIPT]);
        assert_eq!(line("/usr/bin/fish").unwrap(), ["/bin/sh", "-c", &by_pipe(FISH_SCRIPT), "/usr/bin/fish"]);
        assert_eq!(line("/bin/csh").unwrap(), ["/bin/sh", "-c", &by_pipe(CSH_SCRIPT), "/bin/csh", CSH_LOGIN]);
        let error = line("/usr/bin/xonsh").unwrap_err();
        assert!(error.to_string().contains("/usr/bin/xonsh"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("fish")));
        // What holds none is as it always was.
        let plain =
            command_line(&account("/usr/bin/xonsh"), &Command::Shell("x = 1".into()), &Paths::default()).unwrap().0;
        assert_eq!(plain, ["/usr/bin/xonsh", "-l", "-c", "x = 1"]);
    }
}
