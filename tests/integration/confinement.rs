//! What a command of a sandbox reaches: nothing of the machine but what it was given, whoever builds.

use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::support::user::User;
use crate::support::{ALLOY, Store, readable, repository, run, shared, tasks, text};

const PROBES: &str = include_str!("probes.sh");

/// An abstract socket of this machine, and the variables that the probes ask for.
fn machine(name: &str) -> (UnixListener, String) {
    let name = format!("alloy-{name}-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let full = std::fs::metadata("/dev/full").unwrap();
    let variables = format!("HOST_FULL={}:{}\nABSTRACT={name}\nexport ABSTRACT\n", full.dev(), full.ino());
    (UnixListener::bind_addr(&address).unwrap(), variables)
}

fn blueprint(script: &str, more: &str) -> tempfile::TempDir {
    let indented: String = script.lines().map(|line| format!("    {line}\n")).collect();
    let blueprint =
        tasks(&format!("- name: probe\n  action: run_command\n  reason: test\n{more}  command: |\n{indented}"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(blueprint.path().join("tasks.yml"), mode).unwrap();
    blueprint
}

/// Fails the task with what the probes say.
fn in_a_task(variables: &str) -> tempfile::TempDir {
    let script = format!(
        "cat > /tmp/probes <<'PROBES'\n{variables}{PROBES}PROBES\nsh /tmp/probes | tee /tmp/said\n\
                          test \"$(cat /tmp/said)\" = probed\n"
    );
    blueprint(&script, "")
}

#[test]
fn a_task_of_root_reaches_nothing_of_the_machine() {
    let (_listener, variables) = machine("root-task");
    shared().build(&[text(in_a_task(&variables).path())]);
}

#[test]
fn a_command_run_by_root_reaches_nothing_of_the_machine() {
    let (_listener, variables) = machine("root-run");
    shared().build(&[text(&repository("examples/hello")), "-t", "confined"]);
    let said = shared().run(&["run", "confined", "sh", "-c", &format!("TERMINAL=1\n{variables}{PROBES}")]);
    assert_eq!(said.ok().stdout, "probed\n");
}

#[test]
fn a_user_s_commands_reach_nothing_of_the_machine() {
    let (_listener, variables) = machine("user");
    let user = User::new().with_base();
    let task = in_a_task(&variables);
    user.shell(&format!("alloy build {} -t probed", readable(&task))).ok();
    let script = user.home().join("probes");
    std::fs::write(&script, format!("TERMINAL=1\n{variables}{PROBES}")).unwrap();
    let said = user.shell(&format!("alloy run -v {0}:/probes:ro probed sh /probes", text(&script)));
    assert_eq!(said.ok().stdout, "probed\n");
}

fn with_open_root(store: &Store, arguments: &str) -> crate::support::Ended {
    // POSIX shells know descriptors of one digit alone.
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("exec 9</ 57</etc; exec {ALLOY} {arguments}")]);
    run(shell.env("ALLOY_HOME", store.directory.path().join("store")))
}

#[test]
fn open_files_of_the_caller_stay_outside() {
    shared().build(&[text(&repository("examples/hello")), "-t", "confined"]);
    let listed =
        with_open_root(shared(), "run confined sh -c 'ls /proc/self/fd; ls /proc/1/fd 2>/dev/null | tail -n +5'");
    assert_eq!(listed.ok().stdout, "0\n1\n2\n3\n");
    let task = blueprint("test \"$(ls /proc/self/fd | tr '\\n' ' ')\" = '0 1 2 3 '\n", "");
    with_open_root(shared(), &format!("build {}", text(task.path()))).ok();
}

/// Fails unless localhost answers to itself, and the machine's does not.
fn alone(port: u16) -> String {
    format!(
        "perl - <<'PERL'\nuse Socket;\nsocket(my $outside, AF_INET, SOCK_STREAM, 0) or die;\n\
         exit 3 if connect($outside, pack_sockaddr_in({port}, INADDR_LOOPBACK));\n\
         socket(my $own, AF_INET, SOCK_STREAM, 0) or die;\nbind($own, pack_sockaddr_in(0, INADDR_LOOPBACK)) or exit 4;\n\
         listen($own, 1) or exit 5;\nsocket(my $inside, AF_INET, SOCK_STREAM, 0) or die;\n\
         connect($inside, getsockname($own)) or exit 6;\nPERL\n"
    )
}

#[test]
fn without_a_network_there_is_localhost_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = alone(port);
    shared().build(&[text(blueprint(&script, "  network: none\n").path())]);
    let open = blueprint(&script, "");
    shared().build(&["--network", "none", text(open.path())]);
    shared().build(&[text(&repository("examples/hello")), "-t", "confined"]);
    shared().run(&["run", "--network", "none", "confined", "bash", "-c", &script]).ok();
    shared().run(&["run", "confined", "bash", "-c", &script]).fails(3);
}

#[test]
fn what_the_command_line_forbids_no_task_allows() {
    let wants = blueprint("true\n", "  network: host\n");
    let refused = shared().run(&["build", "--network", "none", text(wants.path())]).fails(3);
    assert!(refused.stderr.contains("the task `probe` wants the machine's network"), "{}", refused.stderr);
    assert!(refused.stderr.contains("tasks.yml:4"), "{}", refused.stderr);
    let apt = tasks("- {name: tools, action: apt_install, packages: [hello]}\n");
    let refused = shared().run(&["build", "--network", "none", text(apt.path())]).fails(3);
    assert!(refused.stderr.contains("the packages of the task `tools` are not locked"), "{}", refused.stderr);
    let wrong = blueprint("true\n", "  network: nome\n");
    let refused = shared().run(&["check", text(wrong.path())]).fails(1);
    assert!(refused.stdout.contains("did you mean `none`?"), "{}", refused.stdout);
}

#[test]
fn nothing_is_typed_into_the_terminal() {
    shared().build(&[text(&repository("examples/hello")), "-t", "confined"]);
    let typing = "perl -e '$c = \"x\"; ioctl(STDIN, 0x5412, $c) and exit 3; exit($!{EPERM} ? 0 : 4)'";
    let mut script = std::process::Command::new("script");
    let home = shared().directory.path().join("store");
    let inner = format!("{ALLOY} run confined bash -c \"$TYPING\"");
    script.args(["-qec", &inner, "/dev/null"]).env("TYPING", typing).env("ALLOY_HOME", home);
    let ended = run(&mut script);
    std::io::stderr().write_all(ended.stdout.as_bytes()).unwrap();
    ended.ok();
}

#[test]
fn a_terminal_opens_by_the_names_of_input_and_output() {
    shared().build(&[text(&repository("examples/hello")), "-t", "confined"]);
    let mut script = std::process::Command::new("script");
    let home = shared().directory.path().join("store");
    let inner = format!("{ALLOY} run confined sh -c 'echo out > /dev/stdout; echo err > /dev/stderr; : < /dev/stdin'");
    script.args(["-qec", &inner, "/dev/null"]).env("ALLOY_HOME", home);
    let ended = run(&mut script).ok();
    assert_eq!(ended.stdout.replace('\r', ""), "out\nerr\n");
}

#[test]
fn no_capability_is_inherited() {
    shared().build(&[text(&repository("examples/hello")), "-t", "confined"]);
    let home = shared().directory.path().join("store");
    let capabilities = |given: &[&str], mode: &str| {
        let mut command = std::process::Command::new("setpriv");
        command.args(given).args([ALLOY, "run", "confined", "grep", "^Cap", "/proc/self/status"]);
        run(command.env("ALLOY_HOME", &home).env("ALLOY_SANDBOX", mode)).ok().stdout
    };
    let given = ["--inh-caps", "+sys_admin,+mknod", "--ambient-caps", "+sys_admin,+mknod"];
    for mode in ["privileged", "userns"] {
        let plain = capabilities(&[], mode);
        assert_eq!(capabilities(&given, mode), plain, "{mode}");
        assert!(plain.contains("CapInh:\t0000000000000000\n"), "{plain}");
    }
}
