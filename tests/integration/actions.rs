//! Fields that every task takes, and the small actions.

use serde_json::Value;

use crate::support::files::Files;
use crate::support::user::User;
use crate::support::{blueprint, digests, readable, run, shared, tasks, text, tool};

#[track_caller]
fn shown(image: &str, script: &str) -> String {
    shared().run(&["run", image, "--", "bash", "-c", script]).ok().stdout
}

/// Builds one task that must fail; gives what is said.
#[track_caller]
fn refused(code: i32, task: &str) -> String {
    let blueprint = tasks(&format!("- {{name: task, {task}}}\n"));
    shared().run(&["build", text(blueprint.path())]).fails(code).stderr
}

#[test]
fn guards_hold_for_every_action_in_their_order() {
    // What runs leaves a line behind; `/srv/log` is there from the first task on.
    let mut text_of_tasks =
        "- {name: first, action: run_command, reason: test, command: 'echo first > /srv/log'}\n".to_owned();
    let guards = [
        ("plain", "", true),
        ("creates", "creates: /srv/log", false),
        ("creates-missing", "creates: /srv/none", true),
        ("always", "creates: /srv/log, always_run: true", true),
        ("skipped", "skip_if: 'grep -q first /srv/log', always_run: true", false),
        ("not-skipped", "skip_if: 'exit 3', creates: /srv/none", true),
        ("skip-fails-creates", "skip_if: 'no-such-program', creates: /srv/log", false),
        ("excluded", "exclude: docker, always_run: true, skip_if: 'touch /srv/evaluated; false'", false),
        ("excluded-list", "exclude: [wsl2, docker]", false),
        ("elsewhere", "exclude: [wsl2]", true),
    ];
    for (name, guard, _) in guards {
        text_of_tasks += &format!(
            "- {{name: {name}, action: run_command, reason: test, command: 'echo {name} >> /srv/log', {guard}}}\n"
        );
        text_of_tasks +=
            &format!("- {{name: {name}, action: write_env_file, file: /srv/files/{name}, content: x, {guard}}}\n");
    }
    // An action that is not for images can be in a blueprint for both.
    text_of_tasks += "- {name: arm, action: register_binfmt, architecture: arm, interpreter: /usr/bin/qemu-arm-static, exclude: docker}\n";
    let blueprint = tasks(&text_of_tasks);
    let ended = shared().run(&["build", text(blueprint.path()), "-t", "guarded"]).ok();
    assert!(ended.stderr.contains("/srv/log exists") && ended.stderr.contains("`skip_if` holds"), "{}", ended.stderr);
    let ran: String = guards.iter().filter(|guard| guard.2).map(|guard| format!("{}\n", guard.0)).collect();
    assert_eq!(shown("guarded", "cat /srv/log; test ! -e /srv/evaluated"), format!("first\n{ran}"));
    let mut sorted: Vec<&str> = ran.lines().collect();
    sorted.sort_unstable();
    assert_eq!(shown("guarded", "ls /srv/files"), sorted.join("\n") + "\n");
    // Without a word of it, it is left out all the same.
    let unsaid = tasks(
        "- {name: arm, action: register_binfmt, architecture: arm, interpreter: /usr/bin/qemu-arm-static}\n\
         - {name: arch, action: write_env_file, file: '/srv/{{ arch }}', content: '{{ arch }}'}\n",
    );
    let build = |more: &[&str]| shared().run(&[&["build", text(unsaid.path()), "-t", "unsaid"], more].concat());
    let said = build(&["--platform", "linux/amd64"]).ok().stderr;
    assert!(said.contains("changes the kernel, not the image") && said.contains("exclude: [docker]"), "{said}");
    assert_eq!(shown("unsaid", "cat /srv/amd64"), "amd64");
    build(&["--strict"]).fails(3);
    shared().run(&["build", text(blueprint.path()), "--wsl2", "-t", "guarded-wsl2"]).ok();
    assert!(!shown("guarded-wsl2", "cat /srv/log").contains("elsewhere"));
}

/// A condition that breaks would leave the work undone.
#[test]
fn a_strict_shell_is_for_conditions_too() {
    let log = "action: run_command, reason: test, command: echo done >> /srv/log";
    let tasks = format!(
        "- {{name: a, {log}, skip_if: \"cd /opt/nope\\nls *.bin | wc -l\"}}\n\
         - {{name: b, {log}, skip_if: \"false\\ntrue\"}}\n\
         - {{name: c, {log}, skip_if: \"test -n \\\"$(false; echo a)\\\"; false | cat\"}}\n\
         - {{name: d, action: write_env_file, file: /srv/d, content: d, skip_if: 'false; true'}}\n\
         - {{name: e, {log}, skip_if: \"test -e /srv\\nls / | wc -l\"}}\n"
    );
    let of = |shell: &str| {
        let manifest = format!("name: Test\nversion: 1.0.0\nrun_order: [a.yml]\n{shell}");
        blueprint(&[("manifest.yml", manifest.as_str()), ("a.yml", tasks.as_str())])
    };
    let strict = of("shell: strict\n");
    let said = shared().run(&["build", text(strict.path()), "-t", "strict"]).ok().stderr;
    assert_eq!(shown("strict", "cat /srv/log /srv/d"), "done\ndone\ndone\nd", "{said}");
    assert_eq!(said.matches("`skip_if` holds").count(), 1, "{said}");
    // The last command decides in a plain one, and that is told.
    let plain = of("");
    let said = shared().run(&["build", text(plain.path()), "-t", "plain"]).ok().stderr;
    assert_eq!(said.matches("`skip_if` holds").count(), 5, "{said}");
    assert_eq!(said.matches("`skip_if` passes over failures").count(), 5, "{said}");
    shared().run(&["check", "--strict", text(plain.path())]).fails(1);
}

#[test]
fn conditions_see_the_variables_of_commands() {
    let manifest =
        "name: Test\nversion: 1.0.0\nrun_order: [a.yml]\nrequired_env: [{name: BOARD, description: the board}]\n";
    let task = "- {name: a, action: write_env_file, file: /srv/a, content: a, skip_if: 'test \"$BOARD\" = nucleo'}\n\
                - {name: b, action: run_command, reason: test, command: 'echo $BOARD > /srv/b'}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    for (board, listed) in [("nucleo", "b\n"), ("disco", "a\nb\n")] {
        let mut command = shared().alloy(&["build", text(blueprint.path()), "-t", "board"]);
        run(command.env("BOARD", board)).ok();
        assert_eq!(shown("board", "ls /srv"), listed);
    }
}

#[test]
fn a_user_that_does_not_exist_is_refused_before_anything_runs() {
    for (fields, wanted) in [
        ("action: run_command, reason: test, command: 'echo ran', run_as: eve", "no user `eve` in the image"),
        ("action: write_env_file, file: /srv/x, content: x, run_as: eve", "no user `eve` in the image"),
        ("action: write_env_file, file: /srv/x, content: x, owner: 'root:eves'", "no group `eves` in the image"),
        (
            "action: mcu_sdk, method: git, url: 'http://127.0.0.1:1/x', version: v1, dest: /opt/x, packages: [patch], run_as: eve",
            "no user `eve` in the image",
        ),
    ] {
        let said = refused(1, fields);
        assert!(
            said.contains(wanted) && said.contains("add") && said.contains("tasks.yml:1:") && said.contains(": task: "),
            "{said}"
        );
        assert!(!said.contains("ran\n") && !said.contains("Reading package lists"), "{said}");
        shared().run(&["run", "alloy-failed", "--", "sh", "-c", "test -e /srv/x || test -e /opt/x"]).fails(1);
    }
    // The guards come first: a task for a user that not every base has.
    let blueprint =
        tasks("- {name: a, action: run_command, reason: test, command: 'false', run_as: eve, skip_if: '! id eve'}\n");
    shared().run(&["build", text(blueprint.path())]).ok();
}

#[test]
fn owners_and_modes_reach_all_that_was_written() {
    let files = Files::serve();
    files.script(
        "mkdir -p top/sub; echo run > top/run; chmod 4755 top/run; echo data > top/sub/data; chmod 600 top/sub/data
        ln -s /etc/passwd top/link; tar --owner=0 --group=0 -czf a.tgz top",
    );
    let (url, sha256) = (files.url("a.tgz"), files.sha256("a.tgz"));
    let archive = format!("action: unarchive_from_url, url: '{url}', sha256: {sha256}, strip_components: 1");
    let blueprint = tasks(&format!(
        "- {{name: user, action: run_command, reason: test, command: useradd -m -s /bin/bash dev && groupadd -g 77 team && useradd -g team mate}}
- {{name: kept, {archive}, dest: /opt/kept}}
- {{name: owned, {archive}, dest: /opt/owned, owner: 'dev:team', mode: 'u=rwX,go=rX'}}
- {{name: login group, {archive}, dest: /opt/login, owner: 'mate:'}}
- {{name: ids, {archive}, dest: /opt/ids, owner: '12:34', mode: USER_RWX GROUP_RX OTHER_NONE}}
- {{name: run as, {archive}, dest: /opt/run-as, run_as: dev}}
- {{name: set again, {archive}, dest: /opt/set, owner: dev, mode: 'u+s'}}
- {{name: file, action: get_file, url: '{url}', sha256: {sha256}, dest: /opt/file, run_as: dev, mode: 0o750}}
- {{name: where, action: run_command, reason: test, run_as: dev, command: 'echo \"$(id -un) $HOME $USER $SHELL $PWD\" > ~/where; shopt -q login_shell && echo login > ~/shell'}}
"
    ));
    let ours = shared().build(&[readable(&blueprint), "-t", "owned"]);
    let script = "cd /opt; stat -c '%n %a %U:%G' /etc/passwd file; for d in kept owned login ids run-as set; do stat -c '%n %a %u:%g' $d $d/run $d/sub $d/sub/data; stat -c '%n %u:%g' $d/link; done; cat /home/dev/shell /home/dev/where";
    let expected = "/etc/passwd 644 root:root\nfile 750 dev:dev\n\
        kept 755 0:0\nkept/run 4755 0:0\nkept/sub 755 0:0\nkept/sub/data 600 0:0\nkept/link 0:0\n\
        owned 755 1000:77\nowned/run 755 1000:77\nowned/sub 755 1000:77\nowned/sub/data 644 1000:77\nowned/link 1000:77\n\
        login 755 1001:77\nlogin/run 755 1001:77\nlogin/sub 755 1001:77\nlogin/sub/data 600 1001:77\nlogin/link 1001:77\n\
        ids 750 12:34\nids/run 750 12:34\nids/sub 750 12:34\nids/sub/data 750 12:34\nids/link 12:34\n\
        run-as 755 1000:1000\nrun-as/run 755 1000:1000\nrun-as/sub 755 1000:1000\nrun-as/sub/data 600 1000:1000\nrun-as/link 1000:1000\n\
        set 4755 1000:0\nset/run 4755 1000:0\nset/sub 4755 1000:0\nset/sub/data 4600 1000:0\nset/link 1000:0\nlogin\ndev /home/dev dev /bin/bash /home/dev\n";
    assert_eq!(shown("owned", script), expected);
    // Without any privilege, the same layers.
    let user = User::new().with_base();
    user.shell(&format!("alloy build {} --metadata-file m.json", readable(&blueprint))).ok();
    let theirs: Value = serde_json::from_slice(&std::fs::read(user.home().join("m.json")).unwrap()).unwrap();
    assert_eq!(digests(&ours), digests(&theirs));

    let without = tasks("- {name: a, action: run_command, reason: test, command: 'true', mode: '0755'}\n");
    let said = shared().run(&["build", text(without.path())]).ok().stderr;
    assert!(said.contains("`mode` has no effect on `run_command`"), "{said}");
    assert!(refused(3, "action: write_env_file, file: /x, content: x, mode: rwx").contains("`rwx` is not a mode"));
    assert!(
        refused(3, "action: write_env_file, file: /x, content: x, owner: 'a:b:c'")
            .contains("must be `user` or `user:group`")
    );
}

#[test]
fn rules_for_udev_from_a_package_a_file_and_a_text() {
    let files = Files::serve();
    files.script(
        "mkdir -p one/DEBIAN one/lib/udev/rules.d one/usr/share/doc/x/examples several/DEBIAN several/usr/lib/udev/rules.d none/DEBIAN
        for name in one several none; do printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: a\\nDescription: a\\n' > $name/DEBIAN/control; done
        echo one > one/lib/udev/rules.d/60-vendor.rules; echo example > one/usr/share/doc/x/examples/99-x.rules
        echo a > several/usr/lib/udev/rules.d/60-a.rules; echo b > several/usr/lib/udev/rules.d/61-b.rules; echo plain > plain.rules
        for name in one several none; do dpkg-deb -b $name $name.deb > /dev/null; done",
    );
    let of = |name: &str| format!("url: '{}', sha256: {}", files.url(name), files.sha256(name));
    let blueprint = tasks(&format!(
        "- {{name: one, action: udev_rules, rule_file: 70-probe.rules, {}}}
- {{name: several, action: udev_rules, rule_file: /opt/rules/any.rules, {}, mode: '0600', owner: games}}
- {{name: plain, action: udev_rules, rule_file: 71-plain.rules, {}}}
- {{name: text, action: udev_rules, rule_file: 72-text.rules, content: 'SUBSYSTEM==\"usb\", ENV{{X}}=\"$env{{Y}}\"', mode: READ_ALL}}
",
        of("one.deb"),
        of("several.deb"),
        of("plain.rules")
    ));
    shared().build(&[text(blueprint.path()), "-t", "rules"]);
    let expected = "70-probe.rules:one\n71-plain.rules:plain\n72-text.rules:SUBSYSTEM==\"usb\", ENV{X}=\"$env{Y}\"\n\
                    /opt/rules/60-a.rules 600 games\n/opt/rules/61-b.rules 600 games\n72-text.rules 444 root\n";
    let script = "cd /etc/udev/rules.d; grep . *; stat -c '%n %a %U' /opt/rules/* 72-text.rules";
    assert_eq!(shown("rules", script), expected);
    let said = refused(1, &format!("action: udev_rules, rule_file: x.rules, {}", of("none.deb")));
    assert!(said.contains("the Debian package has no `*.rules` in it"), "{said}");
    assert!(refused(3, "action: udev_rules, rule_file: x.rules").contains("needs `url` or `content`"));
}

#[test]
fn a_toolchain_comes_from_the_lockfile() {
    let files = Files::serve();
    files.script(
        "for name in arm riscv; do mkdir -p $name/bin; echo $name > $name/bin/gcc; tar cJf $name.tar.xz $name; done",
    );
    let entry = |name: &str, key: &str| {
        format!(
            "  {key}: {{url: '{}', sha256: {}, method: archive, version: {name}-1}}\n",
            files.url(&format!("{name}.tar.xz")),
            files.sha256(&format!("{name}.tar.xz"))
        )
    };
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\ntoolchains:\n\
                    - {ref: toolchain.arm-gnu.arm-none-eabi@stable, alias: ARM}\n- {ref: toolchain.riscv.gnu, alias: RISCV}\n";
    let task = "- {name: arm, action: unarchive_from_ref, ref: toolchain.arm-gnu.arm-none-eabi, dest: '/opt/{{.Vars.ARM_VERSION}}', strip_components: 1}
- {name: riscv, action: unarchive_from_ref, ref: toolchain.riscv.gnu@stable, dest: /opt/riscv, strip_components: 1, owner: games}
- {name: again, action: get_file, url: '{{.Vars.RISCV_URL}}', sha256: '{{.Vars.RISCV_SHA}}', dest: /opt/riscv.tar.xz}
";
    // Neither spelling of one side has to be that of the other; nothing overrides what the lockfile says.
    for (arm, riscv) in [("@stable", "@stable"), ("", "@stable"), ("@stable", ""), ("", "")] {
        let lock = format!(
            "host: linux/amd64\ntoolchains:\n{}{}",
            entry("arm", &format!("toolchain.arm-gnu.arm-none-eabi{arm}")),
            entry("riscv", &format!("toolchain.riscv.gnu{riscv}"))
        );
        let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", task), ("alloy.lock.yml", &lock)]);
        shared().build(&[
            text(blueprint.path()),
            "-t",
            "pinned",
            "--var",
            "ARM_VERSION=mine",
            "--platform",
            "linux/amd64",
        ]);
        let script =
            "cat /opt/arm-1/bin/gcc /opt/riscv/bin/gcc; stat -c %U /opt/riscv/bin/gcc; sha256sum < /opt/riscv.tar.xz";
        assert_eq!(shown("pinned", script), format!("arm\nriscv\ngames\n{}  -\n", files.sha256("riscv.tar.xz")));
    }
    let without = blueprint(&[("manifest.yml", manifest), ("tasks.yml", task), ("alloy.lock.yml", "toolchains: {}\n")]);
    let said = shared().run(&["build", text(without.path())]).fails(3).stderr;
    assert!(said.contains("alloy.lock.yml does not pin `toolchain.riscv.gnu@stable`"), "{said}");
}

#[test]
fn every_architecture_has_its_own() {
    let machine = tool("dpkg", &["--print-architecture"]).ok().stdout;
    let (machine, other) = if machine.trim() == "arm64" { ("arm64", "amd64") } else { ("amd64", "arm64") };
    let files = Files::serve();
    files.script("for name in amd64 arm64; do echo $name > $name; done; mkdir d; echo local > d/f; tar cf local.tar d");
    let per_arch =
        |of: &dyn Fn(&str) -> String| format!("per_arch: {{amd64: {{{}}}, arm64: {{{}}}}}", of("amd64"), of("arm64"));
    let download = per_arch(&|arch| format!("url: '{}', sha256: {}", files.url(arch), files.sha256(arch)));
    let blueprint = tasks(&format!(
        "- {{name: file, action: get_file, dest: /srv/file, {download}}}
- {{name: over, action: get_file, dest: /srv/over, url: 'http://127.0.0.1:1/never', {download}}}
- {{name: command, action: run_command, reason: test, command: 'echo any > /srv/command', {}}}
- {{name: other, action: run_command, reason: test, command: 'echo any > /srv/other', per_arch: {{{other}: {{command: 'false'}}}}}}
- {{name: source, action: unpack, dest: /srv/unpacked, {}}}
",
        per_arch(&|arch| format!("command: 'echo {arch} > /srv/command'")),
        per_arch(&|arch| format!("source: {}", if arch == machine { "local.tar" } else { "none.tar" })),
    ));
    tool("cp", &[text(&files.path().join("local.tar")), text(blueprint.path())]).ok();
    shared().build(&[text(blueprint.path()), "-t", "arch"]);
    let expected = format!("{machine}\n{machine}\n{machine}\nany\nlocal\n");
    assert_eq!(shown("arch", "cd /srv; cat file over command other unpacked/d/f"), expected);
    let said =
        refused(3, &format!("action: get_file, dest: /srv/x, per_arch: {{{other}: {{url: 'http://127.0.0.1:1/x'}}}}"));
    assert!(said.contains(&format!("given for other architectures only, not for {machine}")), "{said}");
    let said = refused(3, "action: run_command, command: a, reason: b, per_arch: {x86: {command: b}}");
    assert!(said.contains("the architectures are amd64 and arm64"), "{said}");
}
