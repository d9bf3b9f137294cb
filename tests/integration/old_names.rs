//! What users of the existing tools type every day, as those tools' documentation has it, by links of their names and with a
//! home of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::catalog::git;
use crate::support::host::Host;
use crate::support::hub::alloy;
use crate::support::registry::Registry;
use crate::support::{ALLOY, Ended, Store, blueprint, run, text, tool};

const MANIFEST: &str = "name: Board\nversion: 1.0.0\ndescription: What a board needs.\nrun_order: [tasks.yml]\n\
                        toolchains: [{ref: toolchain.x.gcc, alias: GCC}]\nrequired_env: [{name: SITE, description: where}]\n";
const TASKS: &str = "- {name: One, action: write_env_file, file: /srv/one, content: '{{.Vars.SITE}} {{.Vars.GCC_VERSION}}'}\n\
                     - {name: Two, action: write_env_file, file: /srv/two, content: two, exclude: [docker]}\n";

/// A user's machine: a home with links to alloy, a host to install to, a registry and a catalog.
struct Machine {
    home: TempDir,
    host: Host,
    store: Store,
    registry: Registry,
    source: TempDir,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("bin")).unwrap();
        for name in ["alloy-provisioner", "alloy-host", "alloy-cicd"] {
            std::os::unix::fs::symlink(ALLOY, home.path().join("bin").join(name)).unwrap();
        }
        let source = blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", TASKS)]);
        let registry = Registry::with_password("ann", "s3cret");
        let machine = Self { home, host: Host::bare(), store: Store::new(), registry, source };
        machine.catalog();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// The catalog that others publish.
    fn catalog(&self) {
        let place = self.at("remote/catalog/toolchains/x/gcc");
        std::fs::create_dir_all(&place).unwrap();
        let index = "spec_version: 1\nid: toolchain.x.gcc\ntype: index\naliases: {stable: '13.2'}\n\
                     versions: [{version: '13.2', file: 13.2.yaml, status: stable}]\n";
        let each = |platform: &str| format!("{platform}: {{url: https://a.example/gcc.tar.xz, sha256: {:064}}}", 1);
        let version = format!(
            "spec_version: 1\nid: toolchain.x.gcc\nversion: '13.2'\nname: The compiler for arm\nproviders:\n  \
             - {{id: own, method: archive, host_platforms: {{{}, {}}}}}\n",
            each("linux/amd64"),
            each("linux/arm64")
        );
        std::fs::write(place.join("index.yaml"), index).unwrap();
        std::fs::write(place.join("13.2.yaml"), version).unwrap();
        git(&self.at("remote"), "git init -q -b main; git add -A; git commit -qm one");
    }

    fn known(&self, mut command: Command) -> Command {
        command.env("ALLOY_REGISTRY", format!("https://{}", self.registry.address)).env("HOME", self.home.path());
        command.env("ALLOY_REGISTRY_USERNAME", "ann").env("ALLOY_REGISTRY_PASSWORD", "s3cret").env("SITE", "here");
        command.env("ALLOY_HOME", self.store.path().join("store")).env_remove("SUDO_USER");
        command.env_remove("ALLOY_BLUEPRINT_DIR").env_remove("ALLOY_BACKEND").current_dir(self.source.path());
        command
    }

    /// A line as it is documented: its first word is one of the links.
    #[track_caller]
    fn types(&self, line: &str) -> Ended {
        let line = line.replace("$DIR", text(self.source.path())).replace("$ROOT", text(self.host.path()));
        let line = line.replace("$HOME", text(self.home.path()));
        let command = Command::new("sh");
        let path = format!("{}/bin:/usr/bin:/bin", text(self.home.path()));
        run(self.known(command).args(["-ec", &line]).env("PATH", path))
    }
}

#[test]
fn a_toolchain_is_found_resolved_and_validated() {
    let machine = Machine::new();
    for (line, wanted) in [
        ("alloy-host catalog update --remote $HOME/remote", ""),
        (
            "test -f $HOME/.alloy-it/catalog/catalog/toolchains/x/gcc/index.yaml; alloy-host catalog search arm",
            "toolchain.x.gcc",
        ),
        ("alloy-provisioner catalog search -format=json arm", "\"toolchain.x.gcc\""),
        ("alloy-host catalog info toolchain.x.gcc@stable", "13.2"),
        ("alloy-host validate", "0 errors"),
        ("alloy-host validate $DIR", "0 errors"),
        ("alloy-cicd validate --dir $DIR", "0 errors"),
        ("alloy-cicd resolve --dir $DIR --catalog-dir $HOME/remote/catalog --host-platform linux/amd64", ""),
        ("rm alloy.lock.yml; alloy-cicd resolve --dir $DIR --dry-run; test ! -e alloy.lock.yml", ""),
        ("alloy-host resolve", ""),
        ("alloy-host resolve $DIR", ""),
        ("cat alloy.lock.yml", "toolchain.x.gcc@stable: {url: https://a.example/gcc.tar.xz"),
        ("alloy-host help", "alloy-host validate [DIR]"),
        ("alloy-provisioner -h", "alloy-provisioner clone NAME[:TAG]"),
        ("alloy-provisioner -version", "alloy-provisioner "),
        ("alloy-cicd version", "alloy-cicd "),
    ] {
        let said = machine.types(line).ok();
        assert!(said.stdout.contains(wanted), "{line}: {}{}", said.stdout, said.stderr);
    }
    // A newer catalog, and the lockfile follows it.
    machine.types("cd $HOME/remote/catalog/toolchains/x/gcc; sed s/13.2/14.2/ 13.2.yaml > 14.2.yaml").ok();
    machine.types("cd $HOME/remote/catalog/toolchains/x/gcc; sed -i \"s/'13.2', file: 13.2/'14.2', file: 14.2/; s/stable: '13.2'/stable: '14.2'/\" index.yaml").ok();
    git(&machine.at("remote"), "git add -A; git commit -qm two");
    machine.types("alloy-host catalog update; alloy-host resolve").ok();
    let lock = std::fs::read_to_string(machine.source.path().join("alloy.lock.yml")).unwrap();
    assert!(lock.contains("14.2") && !lock.contains("13.2"), "{lock}");
    for (line, wanted) in [
        ("alloy-cicd pipeline --dir $DIR --repository a/b", "/a/b:TAG --format hub --allow-unpinned"),
        ("alloy-provisioner -pull -root $ROOT", "-repository NAME"),
        ("alloy-host up arm-dev", "alloy run"),
        ("alloy-provisioner instal", "install, clone and catalog"),
    ] {
        let said = machine.types(line).fails(2).stderr;
        assert!(said.contains(wanted), "{line}: {said}");
    }
}

#[test]
fn a_blueprint_is_installed_from_a_directory_and_from_a_registry() {
    let machine = Machine::new();
    machine.types("alloy-host resolve $DIR --catalog $HOME/remote/catalog").ok();
    let installed = |line: &str, done: &str| {
        let said = machine.types(line).ok().stdout;
        assert!(said.contains(done), "{line}: {said}");
    };
    std::fs::write(machine.at("empty.env"), "").unwrap();
    installed("alloy-provisioner -blueprint-dir $DIR -root $ROOT", "2 done in ");
    assert_eq!(machine.host.read("srv/one"), "here 13.2");
    for line in [
        "alloy-provisioner --blueprint-dir=$DIR --root $ROOT",
        "alloy-provisioner install --blueprint-dir $DIR --root $ROOT",
        "ALLOY_BLUEPRINT_DIR=$DIR alloy-provisioner -root $ROOT",
        "alloy-provisioner -config $DIR -root $ROOT",
        "alloy-provisioner -root $ROOT -blueprint-dir=$DIR -env-file $HOME/empty.env",
    ] {
        installed(line, "0 done, 2 skipped");
    }
    // The state is forgotten: all is done again, but for what a container has no use for.
    installed("rm alloy.state.yml; ALLOY_ENV_DOCKER=1 alloy-provisioner -blueprint-dir $DIR -root $ROOT", "1 done");
    std::fs::write(machine.at("site.env"), "SITE=there\n").unwrap();
    installed("unset SITE; alloy-provisioner -blueprint-dir $DIR -root $ROOT -env-file $HOME/site.env", " done");
    assert_eq!(machine.host.read("srv/one"), "there 13.2");
    // What lies beside the manifest is read, however the directory is named, and may say that this is a container.
    std::fs::write(machine.source.path().join(".env"), "SITE=beside\nALLOY_ENV_DOCKER=1\n").unwrap();
    installed("unset SITE; rm $DIR/alloy.state.yml; ALLOY_BLUEPRINT_DIR=$DIR alloy-provisioner -root $ROOT", "1 done");
    assert_eq!(machine.host.read("srv/one"), "beside 13.2");
    installed("unset SITE; rm $DIR/alloy.state.yml; alloy-provisioner -root $ROOT", "1 done");
    std::fs::remove_file(machine.source.path().join(".env")).unwrap();

    let publish = alloy(&machine.store, machine.source.path(), &["publish", ".", "team/board"]);
    run(&mut machine.known(publish)).ok();
    for line in [
        "alloy-provisioner install team/board",
        "alloy-provisioner install team/board:1.0.0",
        "alloy-provisioner install team/board -tag 1.0.0",
        "alloy-provisioner install team/board -tag=1.0.0 -platform linux/amd64",
        "alloy-provisioner -pull -repository team/board -tag 1.0.0",
        "alloy-provisioner -pull -repository=team/board",
    ] {
        let said = machine.types(&format!("{line} -root $ROOT -dry-run")).ok().stdout;
        assert!(said.ends_with("2 to run, 0 to skip\n"), "{line}: {said}");
    }
    let named =
        format!("unset ALLOY_REGISTRY; alloy-provisioner install team/board -registry {}", machine.registry.address);
    installed(&format!("{named} -root $ROOT"), "2 done in ");
    installed("alloy-provisioner install team/board -root $ROOT", "0 done, 2 skipped");
    // A published one's `.env` is beside its clone, or where its files are put.
    for place in [".alloy-it/blueprints/team/board", "put"] {
        std::fs::create_dir_all(machine.at(place)).unwrap();
        std::fs::write(machine.at(place).join(".env"), format!("SITE={place}\n")).unwrap();
        let put = if place == "put" { "-blueprint-dir $HOME/put" } else { "" };
        installed(&format!("unset SITE; alloy-provisioner install team/board {put} -root $ROOT"), " done");
        assert_eq!(machine.host.read("srv/one"), format!("{place} 13.2"));
    }
}

/// Credentials and registry may stand in any of several files, or in a pipe: the public registry hears of neither.
#[test]
fn the_registry_of_any_file_of_variables_is_the_one_that_is_asked() {
    let machine = Machine::new();
    machine.types("alloy-host resolve $DIR --catalog $HOME/remote/catalog").ok();
    let publish = alloy(&machine.store, machine.source.path(), &["publish", ".", "team/board"]);
    run(&mut machine.known(publish)).ok();
    std::fs::write(machine.at("a.env"), "A=1\n").unwrap();
    let own = format!(
        "ALLOY_REGISTRY=https://{}\nALLOY_REGISTRY_USERNAME=ann\nALLOY_REGISTRY_PASSWORD=s3cret\n",
        machine.registry.address
    );
    std::fs::write(machine.at("reg.env"), own).unwrap();
    let unset = "unset ALLOY_REGISTRY ALLOY_REGISTRY_USERNAME ALLOY_REGISTRY_PASSWORD;";
    for line in [
        "alloy-provisioner install team/board -env-file $HOME/a.env -env-file $HOME/reg.env -root $ROOT",
        "cat $HOME/reg.env | alloy-provisioner install team/board -env-file /dev/stdin -root $ROOT",
        "alloy-provisioner clone team/board -env-file $HOME/reg.env -o $HOME/private",
        "alloy-provisioner clone --list team -env-file $HOME/a.env -env-file $HOME/reg.env",
    ] {
        machine.types(&format!("{unset} {line}")).ok();
    }
    assert!(machine.at("private/manifest.yml").is_file());
}

#[test]
fn a_blueprint_is_cloned_to_be_changed() {
    let machine = Machine::new();
    machine.types("alloy-host resolve $DIR --catalog $HOME/remote/catalog").ok();
    let publish = alloy(&machine.store, machine.source.path(), &["publish", ".", "team/board"]);
    run(&mut machine.known(publish)).ok();
    let listed = machine.types("alloy-provisioner clone --list team").ok().stdout;
    assert!(listed.contains("board") && listed.contains("1.0.0"), "{listed}");
    let none = machine.types("alloy-provisioner clone --list nope").ok();
    assert!(
        none.stdout.is_empty() && none.stderr.contains("has no blueprint whose name begins with nope"),
        "{}",
        none.stderr
    );
    for (line, place) in [
        ("alloy-provisioner clone team/board", ".alloy-it/blueprints/team/board"),
        // A second time, it is brought up to date.
        ("alloy-provisioner clone team/board", ".alloy-it/blueprints/team/board"),
        ("alloy-provisioner clone team/board:1.0.0 --output $HOME/one", "one"),
        ("alloy-provisioner clone team/board -tag 1.0.0 -blueprint-dir $HOME/two", "two/blueprints/team/board"),
        ("ALLOY_BLUEPRINT_DIR=$HOME/three alloy-provisioner clone team/board:1.0.0", "three/blueprints/team/board"),
        ("ALLOY_BLUEPRINT_DIR=$HOME/four alloy-provisioner install team/board -dry-run=false -root $ROOT", "four"),
    ] {
        machine.types(line).ok();
        let manifest = std::fs::read_to_string(machine.at(place).join("manifest.yml"));
        assert_eq!(manifest.unwrap_or_else(|error| panic!("{line}: {error}")), MANIFEST, "{line}");
    }
    // What the original tool has put there, without a record of it, is gone on with.
    for (place, line) in [
        (".alloy-it/blueprints/team/board", "alloy-provisioner clone team/board:1.0.0"),
        ("four", "alloy-provisioner install --blueprint-dir $HOME/four team/board -root $ROOT"),
    ] {
        std::fs::remove_file(machine.at(place).join(".alloy-clone.json")).unwrap();
        std::fs::write(machine.at(place).join("Vagrantfile"), "v").unwrap();
        machine.types(line).ok();
        assert!(
            machine.at(place).join("Vagrantfile").is_file() && machine.at(place).join(".alloy-clone.json").is_file()
        );
    }
    let one = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(one(&machine.at("one/tasks.yml")), TASKS);
    machine.types("alloy-host resolve $HOME/one --catalog $HOME/remote/catalog").ok();
    let said = machine.types("alloy-provisioner -blueprint-dir $HOME/one -root $ROOT").ok().stdout;
    assert!(said.contains("2 done in "), "{said}");
}

/// `sudo -E` keeps the home of whoever calls: what root makes there is theirs, and they go on with it.
#[test]
fn what_root_makes_in_somebody_s_home_is_theirs() {
    let machine = Machine::new();
    machine.types("alloy-host resolve $DIR --catalog $HOME/remote/catalog").ok();
    let publish = alloy(&machine.store, machine.source.path(), &["publish", ".", "team/board"]);
    run(&mut machine.known(publish)).ok();
    std::os::unix::fs::chown(machine.home.path(), Some(1234), Some(1234)).unwrap();
    std::fs::create_dir_all(machine.at("empty/blueprints/team/board")).unwrap();
    tool("chown", &["-R", "1234:1234", text(&machine.at("empty"))]).ok();
    let lines = [
        "alloy-provisioner install team/board -root $ROOT",
        "alloy-host catalog update --remote $HOME/remote",
        "alloy-provisioner clone team/board",
        "alloy-provisioner clone team/board -blueprint-dir $HOME/empty",
    ];
    lines.iter().for_each(|line| drop(machine.types(line).ok()));
    assert!(machine.at(".alloy-it/blueprints/team/board/manifest.yml").is_file());
    assert!(machine.at(".alloy-it/catalog").is_dir() && machine.at("empty/blueprints/team/board/tasks.yml").is_file());
    let places = [machine.at(".alloy-it"), machine.at("empty")];
    let of_root = ["-user", "root", "!", "-name", "alloy.state.yml"];
    let found = tool("find", &[&places.each_ref().map(|place| text(place))[..], &of_root].concat()).ok().stdout;
    assert_eq!(found, "");
    // Root goes on with it, too; what lies where root is at home stays root's.
    assert!(
        machine.types("alloy-provisioner install team/board -root $ROOT").ok().stdout.starts_with("0 done, 2 skipped")
    );
    std::fs::create_dir(machine.at("roots")).unwrap();
    machine.types("alloy-provisioner clone team/board --output $HOME/roots/board").ok();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&machine.at("roots/board").metadata().unwrap()), 0);
}
