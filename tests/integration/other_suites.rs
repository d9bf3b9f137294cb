//! Bases that this machine's apt knows nothing of, and packages that another base has.

use std::fs;
use std::path::Path;

use crate::support::signed_archive::{Archive, Key, Release, days_ago, on_machine};
use crate::support::{Store, blueprint, run, tasks, text, tool};

/// A machine without apt sources, whose installed packages name one archive for both distributions.
struct Machine {
    root: tempfile::TempDir,
    archive: Archive,
}

impl Machine {
    fn new(key: &Key, releases: &[Release]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for directory in ["apt", "keyrings", "python-apt/templates"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let archive = Archive::serve(Release::default());
        archive.now(releases);
        let machine = Self { root, archive };
        for name in ["Debian", "Ubuntu"] {
            let place = name.to_lowercase();
            machine.template(name, &machine.archive.url(&place));
            let keyring = format!("keyrings/{place}-archive-keyring.gpg");
            fs::write(machine.root.path().join(keyring), key.armoured()).unwrap();
        }
        machine
    }

    fn template(&self, name: &str, url: &str) {
        let text = format!("Suite: {{series}}\nRepositoryType: deb\nBaseURI: {url}/\nDescription: x\n");
        fs::write(self.root.path().join(format!("python-apt/templates/{name}.info")), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.root.path()
    }
}

fn bare(base: &str) -> tempfile::TempDir {
    let manifest = format!("name: x\nversion: 1.0.0\nrun_order: [t.yml]\nimage: {{base: '{base}'}}\n");
    let task = "- {name: one, action: write_env_file, file: /etc/one, content: 'ONE=1'}\n";
    blueprint(&[("manifest.yml", &manifest), ("t.yml", task)])
}

#[test]
fn a_mirror_is_found_where_packages_of_the_machine_name_it() {
    let key = Key::new(11);
    let machine = Machine::new(&key, &[Release::new(&key, &days_ago(1), "1")]);
    let blueprint = bare("deb:bookworm");
    let lock = |more: &[&str]| {
        let _ = fs::remove_file(blueprint.path().join("alloy.lock.yml"));
        let arguments = ["lock", text(blueprint.path()), "--platform=linux/amd64"];
        on_machine(&Store::new(), machine.path(), &[&arguments[..], more].concat())
    };
    let pinned = || {
        let text = fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap();
        text.lines().filter(|line| !line.starts_with("resolved_at")).collect::<Vec<_>>().join("\n")
    };
    let url = machine.archive.url("debian");
    let said = lock(&[]).ok().stderr;
    let note = format!("deb:bookworm comes from {url}, as /usr/share/python-apt/templates/Debian.info says");
    assert_eq!(said.matches(&note).count(), 1, "{said}");
    let before = pinned();
    assert!(before.contains(&url), "{before}");
    // The same by its flag, of which nothing has to be said.
    let said = lock(&["--mirror", &url]).ok().stderr;
    assert!(!said.contains("comes from"), "{said}");
    assert_eq!(pinned(), before);
    // Without a keyring of the distribution, the keys that alloy has with it: they have not signed this.
    fs::rename(machine.path().join("keyrings"), machine.path().join("away")).unwrap();
    fs::create_dir(machine.path().join("keyrings")).unwrap();
    let said = lock(&[]).fails(4).stderr;
    assert!(said.contains("and is checked with the keys of Debian that alloy has with it"), "{said}");
    assert!(said.contains("InRelease is not signed by a key of the keys of Debian that alloy has with it"), "{said}");
    let keyring = machine.path().join("away/debian-archive-keyring.gpg");
    lock(&["--keyring", text(&keyring)]).ok();
    assert_eq!(pinned(), before);
    // Nothing names one.
    fs::remove_file(machine.path().join("python-apt/templates/Debian.info")).unwrap();
    let said = lock(&[]).fails(2).stderr;
    assert!(said.contains("no mirror is known for deb:bookworm") && said.contains("http://HOST/debian"), "{said}");
}

#[test]
fn a_package_that_another_suite_has_is_told_before_anything_is_built() {
    let (key, date) = (Key::new(12), days_ago(1));
    let base = ["apt", "base-files", "passwd"];
    let bookworm = Release::of("bookworm", &[&base[..], &["here"]].concat(), &key, &date, "1");
    let jammy = Release::of("jammy", &[&base[..], &["here", "only-there"]].concat(), &key, &date, "1");
    let machine = Machine::new(&key, &[bookworm, jammy]);
    let build = |command: &str, blueprint: &tempfile::TempDir, more: &[&str]| {
        let arguments = [command, text(blueprint.path()), "--platform=linux/amd64"];
        let ended = on_machine(&Store::new(), machine.path(), &[&arguments[..], more].concat());
        ended.stderr
    };
    let apt = |packages: &str| format!("- name: apt\n  action: apt_install\n  packages: [{packages}]\n");
    let told = "warning: tasks.yml:3:20: the archive of deb:bookworm has no package `only-there`, and deb:jammy has: add \
                --base deb:jammy";
    let asks = tasks(&apt("here, only-there"));
    for command in ["build", "lock"] {
        let said = build(command, &asks, &[]);
        let (warned, failed) = (said.find(told), said.find("error: "));
        assert!(warned.is_some() && warned < failed, "{said}");
        assert_eq!(said.matches("warning: tasks.yml").count(), 1, "{said}");
    }
    let there = machine.archive.url("ubuntu");
    let said = build("build", &asks, &["--mirror", &machine.archive.url("debian")]);
    assert!(said.contains(&format!("add --base deb:jammy --mirror {there}\n")), "{said}");
    let quiet = |blueprint: &tempfile::TempDir, more: &[&str], looks: bool| {
        let said = build("build", blueprint, more);
        assert!(!said.contains("has no package `only-there`, and") && said.contains("error: "), "{said}");
        assert_eq!(said.contains("looking whether deb:jammy has"), looks, "{said}");
    };
    quiet(&tasks(&apt("here")), &[], false);
    quiet(&tasks(&apt("nowhere")), &[], true);
    quiet(&asks, &["--base", "deb:jammy"], false);
    let adds = "- {name: add, action: run_command, reason: test, command: 'add-apt-repository x'}\n";
    quiet(&tasks(&(adds.to_owned() + &apt("only-there"))), &[], false);
    // The author names the base.
    let manifest = "name: x\nversion: 1.0.0\nrun_order: [t.yml]\nimage: {base: 'deb:bookworm'}\n";
    quiet(&blueprint(&[("manifest.yml", manifest), ("t.yml", &apt("only-there"))]), &[], false);
    // Nobody is asked by `plan`, and who does not answer is no failure.
    let said = build("plan", &asks, &[]);
    assert!(!said.contains("only-there`"), "{said}");
    machine.template("Ubuntu", "http://127.0.0.1:9/ubuntu");
    quiet(&asks, &[], true);
    fs::remove_file(machine.path().join("python-apt/templates/Ubuntu.info")).unwrap();
    quiet(&asks, &[], false);
}

/// Whether a package is lacking is asked only of what the team does not have: the build still knows where that is from.
#[test]
fn what_the_team_has_is_known_as_the_teams() {
    let cache = tempfile::tempdir().unwrap();
    let blueprint = tasks("- {name: apt, action: apt_install, packages: [patch]}\n");
    let build = |flag: &str| {
        let flag = format!("{flag}={}", text(cache.path()));
        Store::with_base().run(&["build", text(blueprint.path()), "--no-attest", &flag]).ok().stderr
    };
    assert!(!build("--cache-to=type=local,dest").contains("cached by the team"));
    let said = build("--cache-from=type=local,src");
    assert!(said.contains("cached by the team"), "{said}");
}

#[test]
fn ubuntu_is_built_on_another_distribution_without_a_flag() {
    let manifest = "name: x\nversion: 1.0.0\nrun_order: [t.yml]\nimage: {base: 'deb:jammy', env_from_profile: false}\n";
    let task = "- {name: look, action: run_command, reason: test, command: grep jammy /etc/os-release}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("t.yml", task)]);
    let store = Store::new();
    let mut command = store.alloy(&["build", text(blueprint.path()), "--no-attest"]);
    let said = run(command.env_remove("ALLOY_MIRROR")).ok().stderr;
    assert!(said.contains("UBUNTU_CODENAME=jammy"), "{said}");
    // One that has sources of its own for it has nothing to say.
    let sources =
        tool("sh", &["-c", "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null; true"]).ok().stdout;
    if !sources.contains(" jammy") && !sources.contains(" noble") {
        assert!(said.contains("deb:jammy comes from http://") && said.contains(" says"), "{said}");
    }
}
