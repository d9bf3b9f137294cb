//! `alloy install`: the same blueprint on a host, in throw-away roots.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::support::host::Host;
use crate::support::user::User;
use crate::support::{ALLOY, Store, blueprint, run, tasks, text, tool};

fn state(blueprint: &Path) -> String {
    std::fs::read_to_string(blueprint.join("alloy.state.yml")).unwrap()
}

/// A blueprint of two task files, whose commands write down that they ran.
const MANIFEST: &str = "name: Steps\nversion: 1.0.0\nrun_order: [one.yml, two.yml]\nvariables: {WORD: first}\n";
const ONE: &str = "- {name: Log, action: run_command, reason: test, command: echo one >> /srv/log}\n\
                   - {name: Word, action: write_env_file, file: /etc/profile.d/word.sh, content: 'export WORD={{.Vars.WORD}}'}\n";
const TWO: &str = "- {name: Made, action: run_command, reason: test, command: 'echo two >> /srv/log; touch /srv/made', creates: /srv/made}\n\
                   - {name: Guarded, action: run_command, reason: test, command: echo three >> /srv/log, skip_if: test -e /srv/made}\n\
                   - {name: Last, action: run_command, reason: test, command: echo last >> /srv/log}\n";

fn steps() -> tempfile::TempDir {
    blueprint(&[("manifest.yml", MANIFEST), ("one.yml", ONE), ("two.yml", TWO)])
}

#[test]
fn what_is_done_is_not_done_again_and_what_changed_is() {
    let (host, store, steps) = (Host::debian(), Store::new(), steps());
    let place = steps.path();
    let forecast = host.install(&store, place, &["--dry-run"]).ok();
    assert!(forecast.stdout.ends_with("5 to run, 0 to skip\n"), "{}", forecast.stdout);
    assert!(!host.at("var/lib/alloy").exists() && !place.join("alloy.state.yml").exists());
    let ended = host.install(&store, place, &[]).ok();
    assert!(ended.stdout.starts_with("4 done, 1 skipped (1 held back by a guard) in "), "{}", ended.stdout);
    assert_eq!(host.read("srv/log"), "one\ntwo\nlast\n");
    assert_eq!(host.read("etc/profile.d/word.sh"), "export WORD=first");
    // What was lent leaves nothing behind.
    assert!(!host.at("etc/resolv.conf").exists() && !host.at("usr/sbin/policy-rc.d").exists());
    assert!(!host.at("run/alloy").exists());

    let before = state(place);
    let again = host.install(&store, place, &[]).ok();
    let counts = "0 done, 5 skipped (3 done before, 1 held back by a guard, 1 there already) in ";
    assert!(again.stdout.starts_with(counts), "{}", again.stdout);
    assert_eq!((host.read("srv/log").as_str(), state(place)), ("one\ntwo\nlast\n", before));

    // A variable: one task. Moved, renamed and reordered tasks are the same tasks.
    std::fs::write(place.join("manifest.yml"), MANIFEST.replace("first", "second").replace("Steps", "Stairs")).unwrap();
    std::fs::write(place.join("one.yml"), format!("# a comment\n{}", ONE.replace("name: Log", "name: Diary"))).unwrap();
    let forecast = host.install(&store, place, &["--dry-run"]).ok();
    let why = "run   Word: `content` changed from `export WORD=first` to `export WORD=second`";
    assert!(forecast.stdout.contains(why), "{}", forecast.stdout);
    let ended = host.install(&store, place, &[]).ok();
    assert!(ended.stdout.starts_with("1 done, 4 skipped"), "{}", ended.stdout);
    assert_eq!(host.read("etc/profile.d/word.sh"), "export WORD=second");
    assert_eq!(host.read("srv/log"), "one\ntwo\nlast\n");
    assert!(state(place).contains("name: Diary\n    place: one.yml:2\n"), "{}", state(place));

    // What `creates` names is gone: that task runs again, and it alone.
    std::fs::remove_file(host.at("srv/made")).unwrap();
    let ended = host.install(&store, place, &[]).ok();
    assert!(ended.stderr.contains("Made runs: /srv/made is gone"), "{}", ended.stderr);
    assert_eq!(host.read("srv/log"), "one\ntwo\nlast\ntwo\n");

    // A task that is gone is forgotten, and what it did stays.
    std::fs::write(place.join("one.yml"), ONE.lines().next().unwrap()).unwrap();
    let ended = host.install(&store, place, &[]).ok();
    assert!(
        ended.stderr.contains("the blueprint no longer has Word (one.yml:3); what it did stays"),
        "{}",
        ended.stderr
    );
    assert!(!state(place).contains("Word") && host.at("etc/profile.d/word.sh").exists());
}

#[test]
fn a_task_that_never_makes_its_creates_is_done_once() {
    let (host, store) = (Host::debian(), Store::new());
    let blueprint = tasks(
        "- {name: Elsewhere, action: run_command, reason: test, command: echo x >> /srv/log, creates: /srv/never}\n\
         - {name: Later, action: run_command, reason: test, command: echo y >> /srv/log, creates: /srv/later}\n\
         - {name: Link, action: run_command, reason: test, command: ln -sf /opt/gone /srv/link, creates: /srv/link}\n",
    );
    let place = blueprint.path();
    let said = host.install(&store, place, &[]).ok().stderr;
    let warning = "Elsewhere: it succeeded, and did not make /srv/never, which its `creates` names";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    let link =
        "Link: it succeeded, and /srv/link is a link to /opt/gone, which does not exist: its `creates` names that";
    assert!(said.contains(link), "{said}");
    for _ in 0..2 {
        let again = host.install(&store, place, &[]).ok();
        assert!(again.stdout.starts_with("0 done, 3 skipped (3 done before) in "), "{}", again.stdout);
        assert!(!again.stderr.contains("is gone") && !again.stderr.contains("/srv/never"), "{}", again.stderr);
    }
    assert_eq!(host.read("srv/log"), "x\ny\n");
    host.drift(&store, &["--blueprint-dir", text(place)]).ok();
    // One that is there and goes again is missed as little as before; a task that has changed runs.
    std::fs::write(host.at("srv/later"), "").unwrap();
    let again = host.install(&store, place, &[]).ok();
    assert!(again.stdout.contains("1 there already"), "{}", again.stdout);
    std::fs::remove_file(host.at("srv/later")).unwrap();
    host.install(&store, place, &["--forget"]).ok();
    assert_eq!(host.read("srv/log"), "x\ny\nx\ny\n");
}

#[test]
fn a_failure_is_shown_and_tried_again() {
    let (host, store) = (Host::debian(), Store::new());
    let broken = "- {name: First, action: run_command, reason: test, command: echo first >> /srv/log}\n\
                  - {name: Break, action: run_command, reason: test, command: 'for i in $(seq 40); do echo line $i; done; test -e /srv/mended || exit 7'}\n\
                  - {name: After, action: run_command, reason: test, command: echo after >> /srv/log}\n";
    let blueprint = tasks(broken);
    let ended = host.install(&store, blueprint.path(), &[]).fails(1);
    for wanted in ["tasks.yml:2:10: Break: the command failed (exit status 7)", "  line 40"] {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in:\n{}", ended.stderr);
    }
    assert!(ended.stdout.starts_with("1 done, 1 failed, 1 not reached in "), "{}", ended.stdout);
    assert!(state(blueprint.path()).contains("outcome: failed\n    why: \"the command failed\"\n"));
    let forecast = host.install(&store, blueprint.path(), &["--dry-run"]).ok();
    assert!(forecast.stdout.contains("run   Break: it failed\n"), "{}", forecast.stdout);
    std::fs::write(host.at("srv/mended"), "").unwrap();
    let ended = host.install(&store, blueprint.path(), &[]).ok();
    assert!(ended.stdout.starts_with("2 done, 1 skipped (1 done before) in "), "{}", ended.stdout);
    assert_eq!(host.read("srv/log"), "first\nafter\n");
}

#[test]
fn whoever_called_sudo_is_who_it_is_for() {
    let (host, store) = (Host::debian(), Store::new());
    let blueprint = tasks(
        "- {name: Owned, action: write_env_file, file: '/srv/{{.Vars.DEV_USERNAME}}', content: x, owner: '{{.Vars.DEV_USERNAME}}:', mode: '0600'}\n\
         - {name: Login, action: run_command, reason: test, run_as: '{{.Vars.DEV_USERNAME}}', command: 'echo $HOME $USER $(id -un) $PWD > ~/who'}\n",
    );
    tool("chroot", &[text(host.path()), "useradd", "--create-home", "--uid", "1234", "ann"]).ok();
    let mut command = host.command(&store, blueprint.path(), &[]);
    let ended = run(command.env("SUDO_USER", "ann")).ok();
    assert!(ended.stderr.contains("DEV_USERNAME is ann, from SUDO_USER"), "{}", ended.stderr);
    assert_eq!(host.attributes("srv/ann"), (1234, 1234, 0o600));
    assert_eq!(host.read("home/ann/who"), "/home/ann ann ann /home/ann\n");
    assert_eq!(host.attributes("home/ann/who").0, 1234);
}

#[test]
fn what_cannot_work_is_said_before_anything_is_done() {
    let (host, store) = (Host::debian(), Store::new());
    let untouched = |blueprint: &Path| {
        assert!(!host.at("srv/touched").exists());
        assert!(!blueprint.join("alloy.state.yml").exists());
    };
    let touch = "- {name: Touch, action: run_command, reason: test, command: touch /srv/touched}\n";
    // A user that nobody makes; one that an earlier task makes is fine.
    let nobody =
        tasks(&format!("{touch}- {{name: Login, action: run_command, reason: test, run_as: eve, command: 'true'}}\n"));
    let ended = host.install(&store, nobody.path(), &[]).fails(3);
    assert!(ended.stderr.contains("no user `eve` (tasks.yml:2: Login) on this host"), "{}", ended.stderr);
    untouched(nobody.path());
    let made = tasks(
        "- {name: Make, action: run_command, reason: test, command: useradd -m eve}\n\
         - {name: Login, action: run_command, reason: test, run_as: eve, command: 'true'}\n",
    );
    host.install(&store, made.path(), &[]).ok();

    let variables = blueprint(&[
        (
            "manifest.yml",
            "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nrequired_env: [{name: SITE_TOKEN, description: from the site}]\n",
        ),
        ("a.yml", touch),
    ]);
    let ended = host.install(&store, variables.path(), &[]).fails(3);
    assert!(ended.stderr.contains("SITE_TOKEN is not set (from the site)"), "{}", ended.stderr);
    untouched(variables.path());
    let platform = blueprint(&[
        ("manifest.yml", "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nsupported_hosts: [linux/riscv64]\n"),
        ("a.yml", touch),
    ]);
    let ended = host.install(&store, platform.path(), &[]).fails(3);
    assert!(ended.stderr.contains("supports linux/riscv64"), "{}", ended.stderr);
    untouched(platform.path());
    host.install(&store, platform.path(), &["--ignore-supported-hosts", "--dry-run"]).ok();

    let fedora = Host::bare();
    std::fs::write(fedora.at("etc/os-release"), "ID=fedora\nPRETTY_NAME='Fedora 40'\n").unwrap();
    let plain = tasks(touch);
    let ended = fedora.install(&store, plain.path(), &[]).fails(1);
    assert!(ended.stderr.contains("is no Debian or Ubuntu: it is Fedora 40"), "{}", ended.stderr);

    // An ordinary user may look, and no more.
    let user = User::new();
    tool("chmod", &["-R", "a+rX", text(plain.path())]).ok();
    tool("chmod", &["a+rx", text(host.path())]).ok();
    let place = format!("--blueprint-dir {} --root {}", text(plain.path()), text(host.path()));
    let ended = user.shell(&format!("alloy install {place}")).fails(2);
    assert!(
        ended.stderr.contains("only root can install") && ended.stderr.contains("sudo alloy install"),
        "{}",
        ended.stderr
    );
    let ended = user.shell(&format!("alloy install {place} --dry-run")).ok();
    assert!(ended.stdout.ends_with("1 to run, 0 to skip\n"), "{}", ended.stdout);
    untouched(plain.path());
}

#[test]
fn what_is_there_as_it_should_be_is_not_written() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks(
        "- {name: Text, action: write_env_file, file: /srv/text, content: same}\n\
         - {name: Blob, action: get_file, url: 'file:///etc/os-release', dest: /srv/blob}\n",
    );
    host.install(&store, blueprint.path(), &["--allow-file-urls"]).ok();
    let inodes = || ["srv/text", "srv/blob"].map(|path| host.at(path).metadata().unwrap().ino());
    let before = inodes();
    let ended = host.install(&store, blueprint.path(), &["--allow-file-urls", "--forget"]).ok();
    assert!(ended.stdout.starts_with("2 done in "), "{}", ended.stdout);
    assert_eq!(inodes(), before);
    std::fs::write(host.at("srv/blob"), "other").unwrap();
    host.install(&store, blueprint.path(), &["--allow-file-urls", "--forget"]).ok();
    assert_eq!(host.read("srv/blob"), std::fs::read_to_string("/etc/os-release").unwrap());
}

#[test]
fn a_host_is_no_container_unless_it_says_so() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks(
        "- {name: Emulate, action: register_binfmt, architecture: arm, interpreter: /usr/bin/qemu-arm-static, exclude: [docker]}\n\
         - {name: Rules, action: udev_rules, rule_file: 99-probe.rules, content: '# rules', exclude: wsl2}\n",
    );
    let ended = run(host.command(&store, blueprint.path(), &["--docker", "--dry-run"]).env("ALLOY_ENV_WSL2", "1")).ok();
    assert_eq!(ended.stdout, "0 to run, 0 to skip\n");
    // The kernel is this machine's: the root gets the file alone.
    let rules = || std::fs::read_to_string("/proc/sys/fs/binfmt_misc/qemu-arm").ok();
    let before = rules();
    host.install(&store, blueprint.path(), &[]).ok();
    let rule = host.read("etc/binfmt.d/qemu-arm.conf");
    assert!(
        rule.starts_with(r":qemu-arm:M::\x7f\x45\x4c\x46\x01\x01\x01")
            && rule.ends_with(":/usr/bin/qemu-arm-static:F\n")
    );
    assert_eq!(rules(), before);
    assert_eq!(host.read("etc/udev/rules.d/99-probe.rules"), "# rules");
}

#[test]
fn secrets_are_masked_and_kept_nowhere() {
    let (host, store) = (Host::debian(), Store::new());
    let manifest = "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nrequired_env: [{name: LICENCE, description: test, secret: true}]\n";
    let task = "- {name: Tell, action: run_command, reason: test, command: 'echo {{.Vars.LICENCE}}; echo ${#LICENCE} > /srv/length; exit 3'}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    let secret = "hunter2-and-more";
    let mut command = host.command(&store, blueprint.path(), &[]);
    let ended = run(command.env("LICENCE", secret)).fails(1);
    assert!(ended.stderr.contains("  ***\n") && !ended.stderr.contains(secret), "{}", ended.stderr);
    assert_eq!(host.read("srv/length"), format!("{}\n", secret.len()));
    for place in [blueprint.path(), store.path(), host.path()] {
        tool("grep", &["-rlF", "--devices=skip", secret, text(place)]).fails(1);
    }
    assert!(state(blueprint.path()).contains("{{.Vars.LICENCE}}"), "{}", state(blueprint.path()));
    // Another value is the same task.
    let mut command = host.command(&store, blueprint.path(), &["--dry-run"]);
    assert!(run(command.env("LICENCE", "another")).ok().stdout.contains("run   Tell: it failed"));
}

/// alloy on a machine of its own: `/` is a throw-away root, with its own processes.
fn within(host: &Host, script: &str) -> Command {
    let inside =
        "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" /bin/bash -c \"$1\"";
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--ipc",
        "--uts",
        "sh",
        "-c",
        inside,
        text(host.path()),
        script,
    ]);
    command
}

#[test]
fn on_a_machine_of_its_own_commands_run_directly() {
    let host = Host::debian();
    std::fs::copy(ALLOY, host.at("usr/bin/alloy")).unwrap();
    std::fs::create_dir(host.at("srv/blueprint")).unwrap();
    let place = host.at("srv/blueprint");
    std::fs::write(place.join("manifest.yml"), "name: Own\nversion: 1.0.0\nrun_order: [a.yml]\n").unwrap();
    std::fs::write(
        place.join("a.yml"),
        "- {name: Start a service, action: run_command, reason: test, command: 'sleep 600 & echo $! > /srv/service; hostname > /srv/hostname'}\n\
         - {name: Login, action: run_command, reason: test, run_as: ann, command: 'umask > ~/umask; id -G > ~/groups; echo $https_proxy $DEBIAN_FRONTEND $SOURCE_DATE_EPOCH > ~/env'}\n",
    )
    .unwrap();
    tool("chroot", &[text(host.path()), "useradd", "--create-home", "--uid", "1234", "--groups", "games", "ann"]).ok();
    let script = "hostname live; umask 077; export ALLOY_HOME=/srv/store https_proxy=http://proxy.example; cd /srv/blueprint; \
                  alloy install --progress plain && kill -0 $(cat /srv/service) && alloy drift";
    let ended = run(&mut within(&host, script)).ok();
    assert!(
        ended.stdout.starts_with("2 done in ") && ended.stdout.contains("\nnothing to look at; what 2 tasks"),
        "{}",
        ended.stdout
    );
    // The machine's own name, its users' own groups; the service outlives the task, and holds nobody up.
    assert_eq!(host.read("srv/hostname"), "live\n");
    assert_eq!(host.read("home/ann/groups"), "1234 60\n");
    assert_eq!(host.read("home/ann/umask"), "0022\n");
    assert_eq!(host.read("home/ann/env"), "http://proxy.example noninteractive\n");
    assert_eq!(host.attributes("srv/blueprint/alloy.state.yml"), (0, 0, 0o644));

    // Ctrl-C reaches the whole group of the command; who is dead and not yet buried counts as dead.
    std::fs::write(
        place.join("a.yml"),
        "- {name: Wait, action: run_command, reason: test, command: 'sleep 600 & echo $! > /srv/child; echo waiting; wait'}\n",
    )
    .unwrap();
    let script = "export ALLOY_HOME=/srv/store; cd /srv/blueprint; alloy install --progress json 2>/srv/events & alloy=$!\n\
                  until grep -q waiting /srv/events; do kill -0 $alloy || exit 9; done\n\
                  kill -INT $alloy; wait $alloy; code=$?\n\
                  for i in $(seq 50); do\n\
                    case $(cut -d' ' -f3 /proc/$(cat /srv/child)/stat 2>&1) in [RSD]) sleep 0.1;; *) exit $code;; esac\n\
                  done; exit 8";
    let ended = run(&mut within(&host, script)).fails(130);
    assert!(ended.stdout.starts_with("0 done, 1 failed in "), "{}", ended.stdout);
    assert!(host.read("srv/events").contains("interrupted in Wait"), "{}", host.read("srv/events"));
    assert!(host.read("srv/blueprint/alloy.state.yml").contains("why: interrupted\n"));

    // A terminal that closes, or a supervisor, sends two signals at once: the command has its time to end all the same.
    std::fs::write(
        place.join("a.yml"),
        "- {name: Wait, action: run_command, reason: test, command: 'trap \"sleep 1; echo orderly > /srv/end; exit 1\" TERM; echo waiting; while :; do sleep 0.1; done'}\n",
    )
    .unwrap();
    let script = "export ALLOY_HOME=/srv/store; cd /srv/blueprint; alloy install --progress json 2>/srv/events & alloy=$!\n\
                  until grep -q '\"waiting' /srv/events; do kill -0 $alloy || exit 9; done\n\
                  kill -HUP $alloy; sleep 0.05; kill -TERM $alloy; wait $alloy";
    run(&mut within(&host, script)).fails(130);
    assert_eq!(host.read("srv/end"), "orderly\n");
}

#[test]
fn on_a_machine_of_its_own_commands_have_the_environment_of_whoever_installs() {
    let host = Host::debian();
    std::fs::copy(ALLOY, host.at("usr/bin/alloy")).unwrap();
    let place = host.at("srv/blueprint");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("manifest.yml"), "name: Own\nversion: 1.0.0\nrun_order: [a.yml]\n").unwrap();
    let tell = "echo $LICENSE_SERVER ${ALLOY_REGISTRY_PASSWORD-none} ${LC_ALL-none} ${GIT_DIR-none} ${SSH_AUTH_SOCK-none} > ~/env; echo token $SITE_TOKEN";
    let tasks = format!(
        "- {{name: Tell, action: run_command, reason: test, command: '{tell}'}}\n\
         - {{name: Tell ann, action: run_command, reason: test, run_as: ann, command: '{tell}'}}\n\
         - {{name: Not there, action: run_command, reason: test, skip_if: '[ \"$ALLOY_BACKEND\" = wsl2 ]', command: 'touch /srv/ran'}}\n"
    );
    std::fs::write(place.join("a.yml"), tasks).unwrap();
    tool("chroot", &[text(host.path()), "useradd", "--create-home", "ann"]).ok();
    let script = "export ALLOY_HOME=/srv/store LICENSE_SERVER=27000@a SITE_TOKEN=hunter2222 ALLOY_BACKEND=wsl2 \
                  ALLOY_REGISTRY_PASSWORD=mine LC_ALL=C.UTF-8 GIT_DIR=/srv/mine SSH_AUTH_SOCK=/srv/agent; \
                  cd /srv/blueprint; alloy install --progress plain && LICENSE_SERVER=other alloy install --progress plain";
    let ended = run(&mut within(&host, script)).ok();
    let said = ended.stdout + &ended.stderr;
    assert_eq!(said.matches("token ***").count(), 2, "{said}");
    assert!(!said.contains("hunter2222"), "{said}");
    for file in ["root/env", "home/ann/env"] {
        assert_eq!(
            host.read(file),
            "27000@a none none none none\n",
            "what else is there is no reason to do a task again: {said}"
        );
    }
    assert!(!host.at("srv/ran").exists(), "{said}");
    tool("grep", &["-rlF", "--devices=skip", "hunter2222", text(&host.at("srv"))]).fails(1);

    // What alloy runs by itself does the same whoever installs: git is not led into another repository.
    std::fs::write(host.at("usr/bin/git"), "#!/bin/sh\nenv > /srv/git\nexit 1\n").unwrap();
    tool("chmod", &["755", text(&host.at("usr/bin/git"))]).ok();
    let clone = "- {name: Clone, action: git_clone, url: 'http://127.0.0.1:9/x.git', revision: v1, dest: /opt/x}\n";
    std::fs::write(place.join("a.yml"), clone).unwrap();
    let script =
        "export ALLOY_HOME=/srv/store LICENSE_SERVER=27000@a GIT_DIR=/srv/mine; cd /srv/blueprint; alloy install";
    run(&mut within(&host, script)).fails(1);
    let env = host.read("srv/git");
    assert!(env.contains("GIT_TERMINAL_PROMPT=0") && !env.contains("GIT_DIR") && !env.contains("LICENSE"), "{env}");
}
