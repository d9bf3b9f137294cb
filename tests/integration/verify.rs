//! `alloy verify`, and what it stands for: the same blueprint is the same image.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::user::User;
use crate::support::{ALLOY, Store, blueprint, repository, run, shared, tasks, text, tool};

const NOISE: &str = "- {name: Quiet, action: write_env_file, file: /srv/quiet, content: still}\n";
const NOW: &str = "- name: Note the time\n  action: run_command\n  reason: test\n  \
                   command: date +%s.%N > /srv/now; head -c 8 /dev/urandom > /srv/random; umask 077; head -c 9 /dev/urandom | base64 > /srv/key\n";

fn noisy() -> tempfile::TempDir {
    let manifest = "name: Noisy\nversion: 1.0.0\nrun_order: [quiet.yml, noise.yml]\n";
    blueprint(&[("manifest.yml", manifest), ("quiet.yml", NOISE), ("noise.yml", NOW)])
}

/// Everything the store keeps, but for locks.
fn kept(store: &Store) -> String {
    let script = "cd \"$1\" && find blobs records trees -type f -o -type d | LC_ALL=C sort | xargs -d '\\n' ls -ldn --full-time; ls work tmp";
    tool("sh", &["-c", script, "sh", text(&store.path().join("store"))]).ok().stdout
}

#[test]
fn noise_is_reported_with_file_field_and_task_file() {
    let (store, blueprint) = (shared(), noisy());
    store.build(&[text(blueprint.path()), "-t", "noisy"]);
    let ended = store.run(&["verify", "noisy", "--format", "json"]).fails(1);
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(verdict["identical"], false);
    let layers = verdict["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["base", "quiet.yml", "noise.yml"]);
    assert!(layers[..2].iter().all(|layer| layer["identical"] == true), "{verdict}");
    let noise = &layers[2];
    assert_eq!((&noise["files"][0], &noise["place"]), (&"noise.yml".into(), &"noise.yml:1".into()));
    assert_eq!(noise["task"], "Note the time");
    let differences = noise["differences"].as_array().unwrap();
    let found: Vec<(&str, &str)> =
        differences.iter().map(|found| (found["path"].as_str().unwrap(), found["field"].as_str().unwrap())).collect();
    assert_eq!(found.iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["srv/key", "srv/now", "srv/random"]);
    assert_eq!(found[1].1, "line 1");
    assert!(found[2].1.starts_with("byte ") || found[2].1.starts_with("line "), "{found:?}");
    assert!(differences[1]["cause"].as_str().unwrap().contains("SOURCE_DATE_EPOCH"));
    assert!(differences[1]["was"] != differences[1]["anew"]);
    // What only root may read is not shown to whoever reads the log.
    assert!(differences[0]["was"].as_str().unwrap().starts_with("sha256:"), "{verdict}");

    let ended = store.run(&["verify", text(blueprint.path())]).fails(1);
    for wanted in ["noise.yml differs, written by noise.yml:1 (Note the time)", "srv/now: line 1", "1 of 3 layers"] {
        assert!(ended.stdout.contains(wanted), "{wanted} is not in:\n{}", ended.stdout);
    }
}

#[test]
fn a_clean_build_is_identical_and_the_store_stays_as_it_was() {
    let store = Store::with_base();
    let hello = repository("examples/hello");
    let built = store.build(&[text(&hello), "-t", "hello"]);
    let before = kept(&store);
    let expected = format!("identical: 2 layers, manifest {}\n", built["containerimage.digest"].as_str().unwrap());
    assert_eq!(store.run(&["verify", text(&hello)]).ok().stdout, expected);
    assert_eq!(store.run(&["verify", "hello"]).ok().stdout, expected);
    assert_eq!(kept(&store), before);
}

/// A task that depends on a secret, whose value counts for no layer: it can be made to do anything the second time.
const FICKLE: &str = "- {name: Fickle, action: run_command, reason: test, command: '$ONCE_KEY; echo 1 > /srv/one'}\n";

fn fickle(store: &Store) -> tempfile::TempDir {
    let blueprint = tasks(FICKLE);
    let manifest =
        "name: Fickle\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: ONCE_KEY, description: test}]\n";
    std::fs::write(blueprint.path().join("manifest.yml"), manifest).unwrap();
    run(store.alloy(&["build", text(blueprint.path()), "-t", "fickle"]).env("ONCE_KEY", "true")).ok();
    blueprint
}

fn left_behind(store: &Store) -> usize {
    std::fs::read_dir(store.path().join("store/work")).unwrap().count()
}

#[test]
fn a_rebuild_that_fails_leaves_nothing() {
    let store = Store::with_base();
    let blueprint = fickle(&store);
    let before = kept(&store);
    let ended = run(store.alloy(&["verify", "fickle"]).env("ONCE_KEY", "exit 7")).fails(1);
    assert!(ended.stderr.contains("Fickle: the command failed (exit status 7)"), "{}", ended.stderr);
    assert_eq!((left_behind(&store), kept(&store)), (0, before));
    std::fs::remove_dir_all(blueprint.path()).unwrap();
    let ended = run(store.alloy(&["verify", "fickle"]).env("ONCE_KEY", "true")).fails(1);
    assert!(ended.stderr.contains("the blueprint of fickle:latest is gone"), "{}", ended.stderr);
}

#[test]
fn what_an_interrupt_leaves_goes_with_the_next_build() {
    let store = Store::with_base();
    let blueprint = fickle(&store);
    let mut child = store.alloy(&["verify", "fickle"]);
    let mut child = child.env("ONCE_KEY", "sleep 600").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.ends_with("  Fickle")));
    tool("kill", &["-INT", &child.id().to_string()]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(left_behind(&store) > 0);
    run(store.alloy(&["build", text(blueprint.path()), "--no-cache"]).env("ONCE_KEY", "true")).ok();
    assert_eq!(left_behind(&store), 0);
}

#[test]
fn an_image_remembers_its_options_but_no_secret() {
    let manifest = "name: Options\nversion: 1.0.0\nrun_order: [a.yml]\nvariables: {WORD: one}\n\
                    required_env: [{name: LICENCE, description: for tests, secret: true}]\n";
    let task = "- {name: Say, action: run_command, reason: test, command: 'echo {{.Vars.WORD}} > /srv/word; echo $LICENCE | wc -c > /srv/length'}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    let store = Store::with_base();
    let secret = "hunter2-and-more";
    let place = text(blueprint.path());
    let given = format!("LICENCE={secret}");
    let options = ["--var", "WORD=two", "--var", &given, "--compression", "gzip", "-t", "options"];
    let mut command = store.alloy(&["build", place]);
    run(command.args(options).env("SOURCE_DATE_EPOCH", "1500000000")).ok();
    tool("grep", &["-rlF", secret, text(store.path())]).fails(1);
    let ended = store.run(&["verify", "options"]).fails(2);
    assert!(ended.stderr.contains("a secret LICENCE, whose value is not kept"), "{}", ended.stderr);
    assert!(store.run(&["verify", "options", "--var", &given]).ok().stdout.starts_with("identical: 2 layers"));
    tool("grep", &["-rlF", secret, text(store.path())]).fails(1);
    let ended = store.run(&["verify", "options", "--var", &given, "--layers", "file"]).fails(2);
    assert!(ended.stderr.contains("--layers=file has no place"), "{}", ended.stderr);
    // A variable that holds it is as little kept.
    let holds = format!("WORD=in-{secret}");
    store.run(&["build", place, "-t", "holds", "--var", &given, "--var", &holds]).ok();
    let ended = store.run(&["verify", "holds", "--var", &given]).fails(2);
    assert!(ended.stderr.contains("a secret WORD, whose value is not kept"), "{}", ended.stderr);
    // Another blueprint by now: that is said, and not taken for noise.
    std::fs::write(blueprint.path().join("a.yml"), task.replace("/srv/word", "/srv/text")).unwrap();
    let ended = store.run(&["verify", "options", "--var", &given]).fails(1);
    assert!(ended.stderr.contains("built from something else than is there now"), "{}", ended.stderr);
    assert!(ended.stderr.contains("a.yml: "), "{}", ended.stderr);
    let ended = store.run(&["verify", "nothing-of-this-name"]).fails(1);
    assert!(ended.stderr.contains("there is no image `nothing-of-this-name:latest`"), "{}", ended.stderr);
}

/// What is noisy in other builders: triggers and caches of packages, D-Bus's machine id, bytecode, users and the days
/// of their passwords, the libraries' cache, logs, backups.
const MANIFEST: &str = "name: Everywhere\nversion: 1.0.0\nrun_order: [packages.yml, python.yml, system.yml]\n\
                        image: {base: \"deb:bookworm\", user: dev}\n";
const PACKAGES: &str = "- name: Packages\n  action: apt_install\n  \
                        packages: [dbus, fontconfig, fonts-dejavu-core, libglib2.0-bin, man-db, openssh-client, python3-pip, python3-yaml]\n";
const PYTHON: &str = "- {name: West, action: python_package, package: west, version: 1.3.0}\n\
                      - {name: Bytecode, action: run_command, reason: test, command: 'mkdir /opt/app && echo x=1 > /opt/app/a.py && python3 -m compileall -q /opt/app'}\n";
const SYSTEM: &str = "- name: Accounts\n  action: run_command\n  reason: test\n  \
                      command: useradd -m ann && passwd -l ann && usermod -aG games ann && groupadd crew && gpasswd -a ann crew\n\
                      - name: Caches and logs\n  action: run_command\n  reason: test\n  \
                      command: ldconfig; date > /var/log/dpkg.log; date > /tmp/now; date > /run/now; fc-cache -f; touch /srv/umask; umask > /srv/mask; echo $LC_ALL $LANG $TZ > /srv/locale\n";

#[test]
fn the_same_image_wherever_it_is_built() {
    let files =
        [("manifest.yml", MANIFEST), ("packages.yml", PACKAGES), ("python.yml", PYTHON), ("system.yml", SYSTEM)];
    let (one, other) = (blueprint(&files), blueprint(&files));
    let first = shared().build(&[text(one.path()), "-t", "everywhere"]);
    let digest = first["containerimage.digest"].as_str().unwrap();
    tool("chmod", &["-R", "a+rX", text(other.path())]).ok();

    // Another store and directory, umask, locale, time zone, and one core.
    let store = Store::new();
    let script = "umask 077; exec taskset -c 0 \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", ALLOY, "build", text(other.path()), "-t", "x", "--progress", "plain"]);
    command.env("ALLOY_HOME", store.path().join("store")).current_dir("/");
    command.envs([("LC_ALL", "tr_TR.UTF-8"), ("LANG", "de_DE.UTF-8"), ("TZ", "Pacific/Kiritimati")]);
    let ended = run(&mut command).ok();
    assert!(ended.stdout.contains(digest), "{}", ended.stdout);

    // Another user, without root.
    let user = User::new();
    let links = std::env::var("PIP_FIND_LINKS").map_or(String::new(), |links| format!("PIP_FIND_LINKS={links} "));
    let ended = user.shell(&format!("{links}alloy build {} -t x --progress plain", text(other.path()))).ok();
    assert!(ended.stdout.contains(digest), "{}", ended.stdout);

    // No time later than the epoch is in a layer.
    let manifest = shared().run(&["inspect", "everywhere"]).ok();
    assert!(manifest.stdout.contains("2020-01-01T00:00:00Z"), "{}", manifest.stdout);
    for layer in first["layers"].as_array().unwrap() {
        let Some(hex) = layer["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")) else { continue };
        let blob = shared().path().join("store/blobs/sha256").join(hex);
        let (_, reader) = layers::compress::decoder(std::fs::File::open(blob).unwrap()).unwrap();
        layers::tar::for_each::<_, layers::tar::TarError>(reader, |entry, _| {
            assert!(entry.mtime <= (1_577_836_800, 0), "{:?} is of {:?}", entry.path, entry.mtime);
            let name = entry.path.to_str().unwrap();
            assert!(!["etc/passwd-", "var/lib/dbus/machine-id", "var/log/dpkg.log"].contains(&name), "{name}");
            Ok(())
        })
        .unwrap();
    }
    // Days of passwords count from the epoch.
    let shadow = shared().run(&["run", "-u", "root", "everywhere", "grep", "^ann:", "/etc/shadow"]);
    assert!(shadow.ok().stdout.contains(":18262:0:99999:"));
}

#[test]
fn another_epoch_is_another_image_and_the_same_each_time() {
    let blueprint = tasks(
        "- {name: Write, action: run_command, reason: test, command: 'useradd ann; date -u -d @$SOURCE_DATE_EPOCH > /srv/date'}\n",
    );
    let store = shared();
    let place = text(blueprint.path());
    let default = store.build(&[place])["containerimage.digest"].clone();
    let with = |epoch: &str, more: &[&str]| {
        let metadata = store.path().join(format!("epoch-{epoch}.json"));
        let mut command = store.alloy(&["build", place, "--metadata-file", text(&metadata)]);
        run(command.args(more).env("SOURCE_DATE_EPOCH", epoch)).ok();
        let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
        metadata["containerimage.digest"].clone()
    };
    let (one, other) = (with("1700000000", &["-t", "dated"]), with("1600000000", &[]));
    assert!(default != one && one != other && default != other);
    assert_eq!(with("1700000000", &["--no-cache"]), one);
    // The image remembers its own.
    assert!(store.run(&["verify", "dated"]).ok().stdout.contains(one.as_str().unwrap()));
    let shown =
        store.run(&["run", "dated", "--", "sh", "-c", "cat /srv/date; grep ^ann /etc/shadow | cut -d: -f3"]).ok();
    assert_eq!(shown.stdout, "Tue Nov 14 22:13:20 UTC 2023\n19675\n");
}
