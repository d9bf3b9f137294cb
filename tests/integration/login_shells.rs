//! Commands of users whose login shells speak other languages, with and without a secret.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{ALLOY, blueprint, run, shared, text};

const MANIFEST: &str =
    "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\nrequired_env: [{name: MY_TOKEN}]\n";
const TOOLS: &str = "- {name: shells, action: apt_install, packages: [csh, tcsh, fish, dash]}
- name: users
  action: run_command
  reason: test
  command: |
    for shell in bsd-csh tcsh fish dash; do
        useradd -m -s /usr/bin/$shell u-$shell 2>/dev/null || useradd -m -s /bin/$shell u-$shell
        usermod -s $(command -v $shell) u-$shell
    done
    useradd -m -s /usr/bin/python3-shell u-odd
    echo 'setenv FROM_LOGIN yes' | tee ~u-bsd-csh/.login > ~u-tcsh/.login
";
const SECRET: &str = "S3cr3t-Value-12345";

/// What csh and tcsh are told.
const CSH: &str = r#"
# A comment.
set where = `pwd`
if ("$where" == "$HOME") then
  echo home > ~/out
else
  echo elsewhere > ~/out
endif
echo {{.Vars.MY_TOKEN}} | grep -c S3cr3t >> ~/out
foreach word (a "b  c")
  echo "item $word" >> ~/out
end
echo $FROM_LOGIN >> ~/out
env | grep -c ALLOY_SCRIPT >> ~/out
cat > /dev/null
sleep 1.4377
sh -c 'exit 5' || echo "five é" >> ~/out
"#;
/// What fish is told.
const FISH: &str = r#"
# A comment.
if test (pwd) = $HOME
  echo home > ~/out
end
echo {{.Vars.MY_TOKEN}} | grep -c S3cr3t >> ~/out
for word in a "b  c"
  echo "item $word" >> ~/out
end
status is-login; and echo yes >> ~/out
env | grep -c ALLOY_SCRIPT >> ~/out
cat > /dev/null
sleep 1.4377
sh -c 'exit 5'; or echo "five é" >> ~/out
"#;
/// What dash is told.
const DASH: &str = r#"
# A comment.
test "$(pwd)" = "$HOME" && echo home > ~/out
echo {{.Vars.MY_TOKEN}} | grep -c S3cr3t >> ~/out
for word in a "b  c"; do
  echo "item $word" >> ~/out
done
echo yes >> ~/out
env | grep -c ALLOY_SCRIPT >> ~/out
cat > /dev/null
sleep 1.4377
sh -c 'exit 5' || echo "five é" >> ~/out
"#;
const WANTED: &str = "home\n1\nitem a\nitem b  c\nyes\n0\nfive é\n";

fn task(shell: &str, command: &str) -> String {
    let command = command.trim().replace('\n', "\n    ");
    format!(
        "- name: {shell}\n  action: run_command\n  reason: test\n  run_as: u-{shell}\n  command: |\n    {command}\n"
    )
}

fn build(tasks: &str, dest: Option<&std::path::Path>) -> (tempfile::TempDir, Command) {
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS), ("tasks.yml", tasks)]);
    let mut command = Command::new(ALLOY);
    command.args(["build", text(directory.path()), "-t", "x", "--no-cache=tasks.yml", "--progress=plain"]);
    command.args(dest.map(|dest| format!("--output=type=dir,dest={}", text(dest))));
    command.env("ALLOY_HOME", shared().path().join("store")).env("MY_TOKEN", SECRET);
    (directory, command)
}

#[test]
fn scripts_with_a_secret_run_in_every_login_shell() {
    let shells = [("bsd-csh", CSH), ("tcsh", CSH), ("fish", FISH), ("dash", DASH)];
    let tasks: String = shells.iter().map(|(shell, script)| task(shell, script)).collect();
    let place = tempfile::tempdir().unwrap();
    let dest = place.path().join("image");
    let (_directory, mut command) = build(&tasks, Some(&dest));
    let log = std::fs::File::create(place.path().join("log")).unwrap();
    let mut child =
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let (started, mut seen) = (Instant::now(), 0);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(400), "it does not end");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        for line in processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok()) {
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!line.contains(SECRET), "{line}");
            seen += usize::from(line.contains("1.4377"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = std::fs::read_to_string(place.path().join("log")).unwrap();
    assert!(status.success() && seen > 0 && !said.contains(SECRET), "{said}");
    for (shell, _) in shells {
        let out = std::fs::read_to_string(dest.join(format!("home/u-{shell}/out"))).unwrap();
        assert_eq!(out, WANTED, "{shell}");
    }
}

#[test]
fn such_scripts_fail_as_others_do() {
    for shell in ["bsd-csh", "tcsh", "fish"] {
        for script in ["echo {{.Vars.MY_TOKEN}} > /dev/null\nexit 7", "echo plain\nexit 7"] {
            let (_directory, mut command) = build(&task(shell, script), None);
            let ended = run(&mut command).fails(1);
            assert!(ended.stderr.contains("status 7") && !ended.stderr.contains("S3cr3t"), "{}", ended.stderr);
        }
    }
    let (_directory, mut command) = build(&task("odd", "echo {{.Vars.MY_TOKEN}}"), None);
    let ended = run(&mut command).fails(1);
    assert!(ended.stderr.contains("/usr/bin/python3-shell, the login shell of u-odd"), "{}", ended.stderr);
}

#[test]
fn what_profiles_complain_of_is_a_warning_and_a_path_of_their_own_is_read() {
    let built = |content: &str| {
        let task =
            format!("- {{name: b, action: write_env_file, file: /etc/profile.d/b.sh, content: \"{content}\"}}\n");
        let manifest = "name: Test\nversion: 1.0.0\nrun_order: [a.yml]\n";
        let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", &task)]);
        shared().run(&["build", text(blueprint.path()), "-t", "profiled"])
    };
    let said = built("export BAD=${FOO\\n").ok().stderr;
    assert!(said.contains("the profile scripts of `root` complain") && said.contains("b.sh"), "{said}");
    let said = built("echo Welcome\\nexport IDF=1\\n").ok().stderr;
    assert!(!said.contains("complain"), "{said}");
    let said = built("export PATH=/opt/idf/bin\\n").ok().stderr;
    assert!(!said.contains("complain"), "{said}");
    let said = built("export IDF=1\\r\\n").ok().stderr;
    assert!(said.contains("has the line ends of Windows: `IDF`"), "{said}");
    let said = built("exit 1\\n").fails(1).stderr;
    assert!(said.contains("env_from_profile: false") && !said.contains("alloy\\u{0}"), "{said}");
}
