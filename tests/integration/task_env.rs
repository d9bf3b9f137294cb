//! What commands of tasks have in their environment, and how their scripts fail.

use crate::support::download::Downloads;
use crate::support::{blueprint, shared, tasks, text};

fn build(name: &str, image: &str, task_file: &str) {
    let manifest = format!("name: x\nversion: 1.0.0\nrun_order: [a.yml]\nimage:\n{image}");
    let directory = blueprint(&[("manifest.yml", &manifest), ("a.yml", task_file)]);
    shared().run(&["build", text(directory.path()), "-t", name, "--no-attest"]).ok();
}

#[track_caller]
fn shown(image: &str, script: &str) -> String {
    shared().run(&["run", image, "--", "bash", "-c", script]).ok().stdout
}

#[test]
fn the_image_s_environment_holds_for_tasks() {
    let image = "  user: dev
  workdir: /work/here
  env: {SDK: /opt/sdk, PATH: '$SDK/bin:$PATH', SHOWN: \"${SDK}/x \\\\$SDK ${NONE:-none}\"}
";
    let write = |name: &str, more: &str| {
        format!(
            "- {{name: {name}, action: run_command, reason: test, command: 'printf \"%s|\" \"$SDK\" \"$SHOWN\" \"$FOO\" >> /srv/{name}; sdk-tool >> /srv/{name}'{more}}}\n"
        )
    };
    let task_file = [
        "- {name: tool, action: write_env_file, file: /opt/sdk/bin/sdk-tool, mode: '0755', content: \"#!/bin/sh\\necho found\\n\"}
- {name: place, action: run_command, reason: test, command: 'chmod 777 /srv'}
",
        &write("root", ""),
        &write("dev", ", run_as: dev"),
        &write("own", ", env: {FOO: '$SDK:$HOME', SHOWN: 3, PATH: '/x:$PATH'}"),
        &write("mine", ", run_as: dev, env: {FOO: '${FOO:-new}', PATH: '/x:$PATH'}"),
        &write("strict", ", run_as: dev, shell: strict"),
        "- {name: condition, action: run_command, reason: test, command: 'touch /srv/bad', skip_if: 'test \"$FOO\" = 1 && sdk-tool', env: {FOO: 1}}
- {name: path, action: run_command, reason: test, command: 'echo $PATH > /srv/path', env: {PATH: '/x:$PATH'}}
",
    ]
    .concat();
    build("env-tasks", image, &task_file);
    let expected = "/opt/sdk|/opt/sdk/x $SDK none||found\n\
                    /opt/sdk|3|/opt/sdk:/root|found\n\
                    /opt/sdk|/opt/sdk/x $SDK none|new|found\n\
                    /opt/sdk|/opt/sdk/x $SDK none||found\n\
                    /opt/sdk|/opt/sdk/x $SDK none||found\n\
                    /x:/opt/sdk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";
    assert_eq!(
        shown(
            "env-tasks",
            "cat /srv/dev /srv/own /srv/mine /srv/root /srv/strict /srv/path; ls /srv/bad 2>/dev/null; true"
        ),
        expected
    );
    // The finished image is the same, and its working directory is its user's.
    assert_eq!(
        shown("env-tasks", "pwd; stat -c %U .; sdk-tool; echo $SHOWN; command -v useradd"),
        "/work/here\ndev\nfound\n/opt/sdk/x $SDK none\n/usr/sbin/useradd\n"
    );
}

#[test]
fn a_login_shell_of_a_task_has_the_base_s_tools() {
    build("env-tools", "  env: {PATH: '/opt/go/bin:$PATH'}\n", "[]\n");
    let manifest =
        "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {base: env-tools, user: dev, env_from_profile: true}\n";
    let task_file = "- {name: place, action: run_command, reason: test, command: 'chmod 777 /srv'}
- {name: path, action: run_command, reason: test, command: 'echo $PATH > /srv/path', run_as: dev}
- {name: own, action: run_command, reason: test, command: 'echo $PATH > /srv/own', run_as: dev, env: {PATH: '/x:$PATH'}}
";
    let directory = blueprint(&[("manifest.yml", manifest), ("a.yml", task_file)]);
    shared().run(&["build", text(directory.path()), "-t", "env-tools-task", "--no-attest"]).ok();
    // The command has what a login shell of the finished image has.
    let path = shown("env-tools-task", "echo $PATH");
    assert!(path.contains("/opt/go/bin:/usr/local/sbin:/usr/local/bin:"), "{path}");
    assert_eq!(shown("env-tools-task", "cat /srv/path /srv/own"), format!("{path}/x:{path}"));
}

#[test]
fn a_profile_that_leaves_the_shell_is_no_success() {
    let task_file =
        "- {name: profile, action: write_env_file, file: /etc/profile.d/leave.sh, content: 'echo bye; exit 0'}
- {name: never, action: run_command, reason: test, command: 'touch /srv/never', run_as: dev}
";
    let manifest = "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {user: dev}\n";
    let directory = blueprint(&[("manifest.yml", manifest), ("a.yml", task_file)]);
    let said = shared().run(&["build", text(directory.path()), "--no-attest"]).fails(1).stderr;
    for part in ["never: the login shell of dev ended before the command began", "bye", "(`exit`, `exec`)"] {
        assert!(said.contains(part), "no {part}: {said}");
    }
}

#[test]
fn a_reference_to_nothing_is_told_before_anything_is_built() {
    let check = |image: &str| {
        let manifest = format!("name: x\nversion: 1.0.0\nrun_order: [a.yml]\nimage:\n{image}");
        let directory = blueprint(&[("manifest.yml", &manifest), ("a.yml", "[]")]);
        shared().run(&["check", text(directory.path())]).fails(1).stdout
    };
    let said = check("  env:\n    A: $B\n    B: 1\n");
    assert!(said.contains("manifest.yml:6:8") && said.contains("`A` refers to `$B`, which is not set"), "{said}");
    assert!(check("  env: {A: '${B'}\n").contains("is not understood"));
    let task = "- {name: a, action: run_command, reason: test, command: 'true', env: {A: $NOWHERE}}\n";
    let directory = tasks(task);
    let said = shared().run(&["build", text(directory.path()), "--no-attest"]).fails(3).stderr;
    assert!(said.contains("`A` refers to `$NOWHERE`, which is not set") && said.contains("tasks.yml:1:"), "{said}");
    // What is set above it, by the image or by every machine, is something.
    let manifest = "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env: {TOOLS: /opt}}\n";
    let task = "- {name: a, action: run_command, reason: test, command: 'true', creates: /srv, env: {A: $TOOLS, B: $A, C: '$HOME$PATH', D: $http_proxy}}\n";
    let directory = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    shared().run(&["check", "--strict", text(directory.path())]).ok();
    // Of a base that is not known before, it is told when it is used.
    let bare = tempfile::tempdir().unwrap();
    std::fs::create_dir(bare.path().join("etc")).unwrap();
    let base = format!("rootfs:{}", text(bare.path()));
    let directory = tasks("- {name: a, action: run_command, reason: test, command: 'true', env: {A: $NOWHERE}}\n");
    let said = shared().run(&["build", text(directory.path()), "--no-attest", "--base", &base]).fails(1).stderr;
    assert!(said.contains("the variable `A` refers to `$NOWHERE`, which is not set"), "{said}");
}

#[test]
fn a_path_without_commands_and_every_wrong_entry_are_told() {
    let check = |image: &str, env: &str, more: &[&str]| {
        let manifest = format!("name: x\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {{env: {image}}}\n");
        let task =
            format!("- {{name: a, action: run_command, reason: test, command: 'true', creates: /srv, env: {env}}}\n");
        let directory = blueprint(&[("manifest.yml", &manifest), ("a.yml", &task)]);
        shared().run(&[&["check", text(directory.path())], more].concat())
    };
    for (image, env) in [("{PATH: /opt/x/bin}", "{}"), ("{}", "{PATH: /opt/x/bin}")] {
        let said = check(image, env, &[]).ok().stdout;
        assert!(said.contains("none of the directories in which a system has its commands"), "{said}");
        assert!(said.contains("`PATH: /opt/x/bin:$PATH`"), "{said}");
        check(image, env, &["--strict"]).fails(1);
    }
    check("{PATH: '/opt/x/bin:$PATH'}", "{PATH: '/opt/y:/usr/bin'}", &["--strict"]).ok();
    let said = check("{'A=B': c, C: '${D', 'E=F': x}", "{}", &[]).fails(1).stdout;
    for wanted in ["`A=B` cannot be", "in the value of `C`", "`E=F` cannot be"] {
        assert!(said.contains(wanted), "{wanted} is not in:\n{said}");
    }
}

#[test]
fn a_working_directory_that_a_task_made_stays_as_it_is() {
    let task_file = "- {name: a, action: run_command, reason: test, command: 'mkdir -m 0700 /work', creates: /work}\n";
    build("workdir", "  user: dev\n  workdir: /work\n", task_file);
    assert_eq!(
        shared().run(&["run", "-u", "root", "-w", "/", "workdir", "--", "stat", "-c", "%U %a", "/work"]).ok().stdout,
        "root 700\n"
    );
}

#[test]
fn a_strict_shell_ends_at_the_first_failure() {
    let fails = |manifest: &str, task: &str| {
        let manifest = format!("name: x\nversion: 1.0.0\n{manifest}run_order: [a.yml]\n");
        let task = format!("- name: a\n  action: run_command\n  reason: test\n{task}");
        let directory = blueprint(&[("manifest.yml", &manifest), ("a.yml", &task)]);
        let ended = shared().run(&["build", text(directory.path()), "--no-attest", "--no-cache=a.yml"]);
        ended.code != Some(0)
    };
    let lines = "  command: |\n    false\n    true\n";
    let pipe = "  command: false | cat\n";
    let inner = "  command: x=$(false; echo a)\n";
    for script in [lines, pipe, inner] {
        assert!(!fails("", script), "a published blueprint is as it was: {script}");
        assert!(fails("shell: strict\n", script), "{script}");
        assert!(fails("", &format!("{script}  shell: strict\n")), "{script}");
        assert!(fails("", &format!("{script}  shell: strict\n  run_as: games\n")), "{script}");
        assert!(!fails("shell: strict\n", &format!("{script}  shell: plain\n")), "{script}");
    }
    let directory = tasks(&format!("- name: a\n  action: run_command\n  reason: test\n{lines}"));
    let said = shared().run(&["check", text(directory.path())]).ok().stdout;
    assert!(said.contains("passes over failures: it goes on where `false` fails"), "{said}");
    shared().run(&["check", "--strict", text(directory.path())]).fails(1);
}

#[test]
fn a_reference_to_nothing_is_shown_where_it_is_written() {
    let downloads = Downloads::of_tasks("- {name: a, action: write_env_file, file: /etc/a, content: x}\n");
    let manifest =
        "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false, env: {L: '/x:$LIBS'}}\n";
    downloads.write("manifest.yml", manifest);
    let said = downloads.build(&[]).fails(3).stderr;
    assert!(said.contains("manifest.yml:4:43: ") && said.contains("`${LIBS:+:$LIBS}`"), "{said}");
}
