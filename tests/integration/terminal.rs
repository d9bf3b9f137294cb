//! A command of `alloy run` and the terminal, files and processes of whoever called it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::user::User;
use crate::support::{ALLOY, Ended, readable, repository, run, shared, tasks, text};

const DRIVER: &str = include_str!("terminal.py");
const MODES: [&str; 2] = ["userns", "privileged"];

fn image() {
    shared().build(&[text(&repository("examples/hello")), "-t", "terminal"]);
}

fn as_root(mode: &str, program: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command.args(arguments).env("ALLOY_HOME", shared().path().join("store")).env("ALLOY_SANDBOX", mode);
    run(&mut command)
}

/// A user with an image.
fn user() -> User {
    let user = User::new().with_base();
    let blueprint = tasks("- {name: one, action: write_env_file, file: /etc/env, content: x}\n");
    user.shell(&format!("alloy build {} -t terminal", readable(&blueprint))).ok();
    user
}

#[test]
fn a_command_of_root_has_a_terminal_of_its_own() {
    image();
    for mode in MODES {
        as_root(mode, "python3", &["-c", DRIVER, ALLOY, "terminal"]).ok();
    }
}

#[test]
fn a_command_of_a_user_has_a_terminal_of_its_own() {
    let user = user();
    fs::write(user.home().join("terminal.py"), DRIVER).unwrap();
    user.shell("python3 terminal.py $HOME/alloy terminal").ok();
}

#[test]
fn nobody_outside_gets_a_command_s_signals() {
    image();
    let script = "for signal in TERM KILL HUP; do\n\
                  timeout -s KILL 60 \"$0\" run terminal timeout 1 sh -c \"kill -$signal 0; sleep 9\" < /dev/null\ndone\necho survived";
    for mode in MODES {
        assert_eq!(as_root(mode, "sh", &["-c", script, ALLOY]).stdout, "survived\n", "{mode}");
    }
}

/// Changes modes by descriptors, with all kinds of streams but terminals.
const CHANGING: &str = "set -e; umask 022; echo input > in; echo before > out; chmod 644 in out\n\
    alloy run terminal sh -c 'cat; for n in 0 1 2; do chmod 4777 /proc/self/fd/$n; done; echo error >&2; echo end' \
    < in >> out 2>&1 || true\n\
    stat -c '%a %n' in out; grep -v chmod out\n\
    printf '1\\n2\\n3\\n4\\n' > in\n\
    while read line; do alloy run terminal echo line $line; done < in\n\
    (read one; alloy run terminal sh -c 'read two; echo $two'; read three; echo $three) < in\n\
    alloy run terminal sh -c 'echo opened > /dev/stdout; echo more > /dev/stderr' > out 2>&1; cat out\n\
    alloy run terminal cat < in | tail -n 1; cat in | alloy run terminal cat | tail -n 1\n";
const CHANGED: &str =
    "644 in\n644 out\nbefore\ninput\nerror\nend\nline 1\nline 2\nline 3\nline 4\n2\n3\nopened\nmore\n4\n4\n";

#[test]
fn redirected_files_keep_their_modes_and_places() {
    image();
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let script = format!("alloy() {{ {ALLOY} \"$@\"; }}; cd {}; {CHANGING}", text(place.path()));
    for mode in MODES {
        assert_eq!(as_root(mode, "sh", &["-c", &script]).ok().stdout, CHANGED, "{mode}");
    }
    assert_eq!(user().shell(CHANGING).ok().stdout, CHANGED);
}

#[test]
fn devices_given_as_streams_keep_their_modes() {
    image();
    let place = tempfile::tempdir().unwrap();
    let node = place.path().join("null");
    run(Command::new("mknod").args(["-m", "666", text(&node), "c", "1", "3"])).ok();
    let script = "for n in 0 1 2; do \"$0\" run terminal chmod 600 /proc/self/fd/$n < \"$1\" > \"$1\" 2> \"$1\"; done";
    for mode in MODES {
        as_root(mode, "sh", &["-c", script, ALLOY, text(&node)]);
        assert_eq!(fs::metadata(&node).unwrap().permissions().mode() & 0o777, 0o666, "{mode}");
    }
}

/// A terminal as input alone: what is typed arrives, and nothing can be done to the terminal.
const TYPED: &str = r#"
import os, pty, subprocess, sys, termios
alloy, image = sys.argv[1:]
keyboard, terminal = pty.openpty()
before = termios.tcgetattr(terminal)
os.write(keyboard, b"hello\n")
script = "stty -echo -icanon; echo planted > /proc/self/fd/0; test -t 0 && echo terminal; read line; echo got $line"
ended = subprocess.run([alloy, "run", image, "sh", "-c", script + " 2>/dev/null"], stdin=terminal,
                       stdout=subprocess.PIPE, timeout=60)
assert b"got hello\n" in ended.stdout and b"terminal" not in ended.stdout, ended.stdout
assert termios.tcgetattr(terminal) == before
os.close(terminal)
shown = os.read(keyboard, 1000)
assert b"planted" not in shown, shown
"#;

#[test]
fn a_terminal_as_input_alone_stays_as_it_is() {
    image();
    for mode in MODES {
        as_root(mode, "python3", &["-c", TYPED, ALLOY, "terminal"]).ok();
    }
    let user = user();
    fs::write(user.home().join("typed.py"), TYPED).unwrap();
    user.shell("python3 typed.py $HOME/alloy terminal").ok();
}

#[test]
fn a_directory_as_input_is_refused() {
    image();
    let script = "\"$0\" run terminal cat /proc/self/fd/0/etc/passwd < /";
    for mode in MODES {
        let ended = as_root(mode, "sh", &["-c", script, ALLOY]).fails(125);
        assert!(ended.stderr.contains("standard input is a directory"), "{mode}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}
