//! `alloy install NAME`: a blueprint of a registry on a host, in throw-away roots and with an empty home.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::host::Host;
use crate::support::hub::{alloy, hub};
use crate::support::registry::Registry;
use crate::support::user::User;
use crate::support::{ALLOY, Ended, Store, blueprint, run, text};

const MANIFEST: &str = "name: Board\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
const ONE: &str = "- {name: One, action: write_env_file, file: /srv/one, content: one}\n";
const TWO: &str = "- {name: Two, action: write_env_file, file: /srv/two, content: first}\n";

/// A registry with a blueprint, and who installs it.
struct Site {
    registry: Registry,
    host: Host,
    store: Store,
    home: TempDir,
}

impl Site {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::with_password("ann", "s3cret");
        let site = Self { registry, host: Host::bare(), store: Store::new(), home };
        site.publish("1.0.0", ONE, TWO);
        site
    }

    fn publish(&self, version: &str, one: &str, two: &str) {
        let manifest = MANIFEST.replace("1.0.0", version);
        let directory = blueprint(&[("manifest.yml", &manifest), ("tasks.yml", &format!("{one}{two}"))]);
        run(&mut self.known(alloy(&self.store, directory.path(), &["publish", ".", "team/board"]))).ok();
    }

    fn known(&self, mut command: Command) -> Command {
        command.env("ALLOY_REGISTRY", format!("https://{}", self.registry.address)).env("HOME", self.home.path());
        command.env("ALLOY_REGISTRY_USERNAME", "ann").env("ALLOY_REGISTRY_PASSWORD", "s3cret");
        command.env_remove("SUDO_USER").env_remove("ALLOY_BLUEPRINT_DIR");
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ended {
        let all = [arguments, &["--root", text(self.host.path())]].concat();
        run(&mut self.known(alloy(&self.store, self.home.path(), &all)))
    }

    /// Where the blueprint is kept.
    fn place(&self) -> PathBuf {
        self.home.path().join(".alloy-it/blueprints").join(&self.registry.address).join("team/board")
    }
}

/// Names of directories.
fn versions(place: &Path) -> usize {
    std::fs::read_dir(place).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

#[test]
fn a_published_blueprint_is_installed_and_a_later_version_of_it_where_it_differs() {
    let site = Site::new();
    let forecast = site.run(&["install", "team/board", "--dry-run"]).ok();
    assert!(forecast.stdout.ends_with("2 to run, 0 to skip\n"), "{}", forecast.stdout);
    assert!(!site.place().join("alloy.state.yml").exists());
    let first = site.run(&["install", "team/board"]).ok();
    assert!(first.stdout.starts_with("2 done in "), "{}", first.stdout);
    assert!(first.stderr.contains("team/board:latest@sha256:") && first.stderr.contains("(1.0.0) is in "));
    assert_eq!(site.host.read("srv/two"), "first");
    let state = site.place().join("alloy.state.yml");
    assert!(std::fs::read_to_string(&state).unwrap().contains("name: Two"));
    let again = site.run(&["install", "team/board:1.0.0"]).ok();
    assert!(again.stdout.starts_with("0 done, 2 skipped (2 done before)"), "{}", again.stdout);

    site.publish("1.1.0", ONE, &TWO.replace("first", "second"));
    let forecast = site.run(&["install", "team/board", "--dry-run"]).ok();
    let why = "run   Two: `content` changed from first to second";
    assert!(forecast.stdout.contains(why), "{}", forecast.stdout);
    // As a user of the existing tools types it.
    let link = site.home.path().join("alloy-provisioner");
    std::os::unix::fs::symlink(ALLOY, &link).unwrap();
    let mut legacy = site.known(Command::new(&link));
    legacy.env("ALLOY_HOME", site.store.path().join("store")).args(["-pull", "-repository", "team/board"]);
    legacy.args(["-tag", "1.1.0", "-platform", "linux/amd64", "-root", text(site.host.path())]);
    let later = run(&mut legacy).ok();
    assert!(later.stdout.starts_with("1 done, 1 skipped (1 done before)"), "{}", later.stdout);
    assert_eq!((site.host.read("srv/two").as_str(), versions(&site.place())), ("second", 2));

    let whole = site.registry.image("team/board");
    assert!(site.run(&["drift", &whole]).ok().stdout.starts_with("no drift: "));
    std::fs::write(site.host.at("srv/one"), "mine").unwrap();
    let drift = site.run(&["drift", "team/board"]).fails(1);
    assert!(drift.stdout.contains("/srv/one"), "{}", drift.stdout);
    // Beside a state file of one's own, nothing of this counts.
    let own = site.home.path().join("own.yml");
    let ended = site.run(&["install", "team/board", "--state", text(&own)]).ok();
    assert!(ended.stdout.starts_with("2 done in ") && own.exists(), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_found_is_said_and_leaves_nothing() {
    let site = Site::new();
    let fails = |arguments: &[&str], code: i32, wanted: &[&str]| {
        let ended = site.run(arguments).fails(code);
        wanted.iter().for_each(|one| assert!(ended.stderr.contains(one), "{one} is not in:\n{}", ended.stderr));
    };
    fails(&["install", "team/board:9"], 4, &["team/board:9", "was not found"]);
    fails(&["install", "team/board:1.0.0", "--tag", "2"], 2, &["team/board:1.0.0 and --tag 2 are two versions"]);
    fails(&["install", "--tag", "2"], 2, &["NAME"]);
    // A directory, as `alloy build` takes it.
    fails(&["install", "."], 2, &["hint: a blueprint in a directory is named so: --blueprint-dir ."]);
    let mut homeless = site.known(alloy(&site.store, site.home.path(), &["install", "team/board"]));
    let ended = run(homeless.env_remove("HOME").args(["--root", text(site.host.path())])).fails(1);
    assert!(ended.stderr.contains("no home directory") && ended.stderr.contains("set HOME"), "{}", ended.stderr);
    let unlisted = hub(&site.store, site.home.path(), &["install", "team/board", "--root", text(site.host.path())]);
    assert!(unlisted.fails(2).stderr.contains("`team/board` names no registry"));
    assert!(!site.home.path().join(".alloy-it").exists() && !site.host.at("srv").exists());

    // Nobody is asked anything in vain.
    let user = User::new();
    let name = site.registry.image("team/board");
    let ended = user.shell(&format!("alloy install {name}")).fails(2);
    assert!(ended.stderr.contains("only root can install to /"), "{}", ended.stderr);
    assert!(!user.home().join(".alloy-it").exists());
}

#[test]
fn a_file_of_variables_says_which_registry_and_who() {
    let site = Site::new();
    let env = site.home.path().join("registry.env");
    let said = format!(
        "ALLOY_REGISTRY=https://{}\nALLOY_REGISTRY_USERNAME=ann\nALLOY_REGISTRY_PASSWORD=s3cret\n",
        site.registry.address
    );
    std::fs::write(&env, &said).unwrap();
    let install = |words: &[&str]| {
        let all = [words, &["team/board", "--dry-run", "--root", text(site.host.path()), "--env-file", text(&env)]];
        let mut command = alloy(&site.store, site.home.path(), &all.concat());
        run(command.env("HOME", site.home.path()).env_remove("SUDO_USER"))
    };
    for words in [&["install"][..], &["compat", "alloy-provisioner", "install"]] {
        assert!(install(words).ok().stdout.ends_with("2 to run, 0 to skip\n"));
    }
    // From a pipe, which can be read once, a blueprint gets its variables as well.
    let manifest = MANIFEST.replace("run_order", "required_env: [{name: ALLOY_TEST_BOARD}]\nrun_order");
    let own = blueprint(&[("manifest.yml", &manifest), ("tasks.yml", ONE)]);
    let line = "echo ALLOY_TEST_BOARD=x | exec \"$0\" install --dry-run --env-file /dev/stdin --blueprint-dir \"$1\" --root \"$2\"";
    let words = ["-c", line, ALLOY, text(own.path()), text(site.host.path())];
    let mut command = Command::new("sh");
    command.args(words).env("ALLOY_HOME", site.store.path().join("store")).env("HOME", site.home.path());
    assert!(run(&mut command).ok().stdout.ends_with("1 to run, 0 to skip\n"));
    std::fs::write(&env, said.replace("s3cret", "wrong")).unwrap();
    let refused = install(&["install"]).fails(4).stderr;
    assert!(refused.contains("ALLOY_REGISTRY_PASSWORD") && !refused.contains("wrong"), "{refused}");
}
