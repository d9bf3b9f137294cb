//! Running alloy and its neighbours.

pub mod agree;
pub mod base;
pub mod damaged;
pub mod download;
pub mod faults;
pub mod files;
pub mod follower;
pub mod forged;
pub mod host;
pub mod http;
pub mod hub;
pub mod images;
pub mod layout;
pub mod memory_registry;
pub mod proxy;
pub mod registry;
pub mod signed_archive;
pub mod sshd;
pub mod team;
pub mod user;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const ALLOY: &str = env!("CARGO_BIN_EXE_alloy");

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` for a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Fails the test unless the command went well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless the command failed with `code`.
    #[track_caller]
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    Ended::from(command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// Runs a program of this machine.
#[track_caller]
pub fn tool(program: &str, arguments: &[&str]) -> Ended {
    run(Command::new(program).args(arguments))
}

/// Starts a command, and waits until a task of it has printed that it is `waiting for it`.
pub fn waiting(command: &mut Command) -> Child {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    let waits = lines.any(|line| {
        said.push(line);
        said.last().unwrap().contains("waiting for it")
    });
    assert!(waits, "{}", said.join("\n"));
    // Nobody is held up by what it says then.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// A store of a test's own.
pub struct Store {
    pub directory: TempDir,
}

impl Store {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// alloy on this store.
    pub fn alloy(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(ALLOY);
        command.args(arguments).arg("--progress=plain").env("ALLOY_HOME", self.path().join("store"));
        command
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments))
    }

    /// The command that [`Self::run`] runs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        // Before a possible `--`, options of alloy's own must come first.
        let mut command = Command::new(ALLOY);
        command.arg("--progress=plain").args(arguments).env("ALLOY_HOME", self.path().join("store"));
        command
    }

    /// Builds, and gives what `--metadata-file` says.
    #[track_caller]
    pub fn build(&self, arguments: &[&str]) -> Value {
        // A store may be shared by tests that run at once.
        let metadata = tempfile::NamedTempFile::new_in(self.path()).unwrap();
        let mut all = vec!["build", "--metadata-file", metadata.path().to_str().unwrap()];
        all.extend(arguments);
        self.run(&all).ok();
        serde_json::from_slice(&std::fs::read(metadata.path()).unwrap()).unwrap()
    }
}

impl Store {
    /// The store as the library has it, to read and to forge what is recorded.
    pub fn opened(&self) -> layers::store::Store {
        layers::store::Store::open(self.path().join("store")).unwrap()
    }

    /// Where the unpacked layers are.
    pub fn trees(&self) -> Vec<PathBuf> {
        let store = self.opened();
        store.trees().unwrap().iter().filter_map(|name| store.tree(name)).collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Nothing a build does may outlive it.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let place = self.path().to_str().unwrap();
        if !std::thread::panicking() {
            assert!(!mounts.contains(place), "still mounted below {place}:\n{mounts}");
        }
    }
}

/// A store that all tests share, with the base already made: making it once is enough.
pub fn shared() -> &'static Store {
    static SHARED: OnceLock<(Store, Child)> = OnceLock::new();
    let (store, _) = SHARED.get_or_init(|| {
        let store = Store::with_base();
        let sweeper = base::swept(store.path());
        (store, sweeper)
    });
    store
}

/// Which layers were taken from the store.
pub fn cached(metadata: &Value) -> Vec<(String, bool)> {
    let layers = metadata["layers"].as_array().unwrap();
    layers
        .iter()
        .map(|layer| (layer["name"].as_str().unwrap().to_owned(), layer["cached"].as_bool().unwrap()))
        .collect()
}

/// Digests of the layers.
pub fn digests(metadata: &Value) -> Vec<String> {
    let layers = metadata["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].to_string()).collect()
}

/// A blueprint of files.
pub fn blueprint(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    // Ordinary users read it too.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).unwrap();
    directory
}

/// A blueprint of one task file.
pub fn tasks(text: &str) -> TempDir {
    blueprint(&[("manifest.yml", "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\n"), ("tasks.yml", text)])
}

/// A copy of a directory of the repository.
pub fn copy_of(path: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let from = format!("{}/.", repository(path).display());
    tool("cp", &["-r", &from, directory.path().to_str().unwrap()]).ok();
    tool("chmod", &["-R", "a+rX", directory.path().to_str().unwrap()]).ok();
    directory
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What compiles and clones; one layer for all tests that need it.
pub const TOOLS: &str = "- {name: tools, action: apt_install, packages: \
                     [ca-certificates, gcc, git, libc6-dev, make, pkg-config, python3-pip]}\n\
                     - {name: user, action: run_command, reason: test, command: useradd -m -s /bin/bash dev}\n";

/// A blueprint of one task file on top of compilers, git, pip, and a user `dev`.
pub fn with_tools(text: &str) -> TempDir {
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\n";
    blueprint(&[("manifest.yml", manifest), ("tools.yml", TOOLS), ("tasks.yml", text)])
}

/// The path of a blueprint, which everybody may read.
pub fn readable(blueprint: &TempDir) -> &str {
    tool("chmod", &["-R", "a+rX", text(blueprint.path())]).ok();
    text(blueprint.path())
}

/// Files of the shared store that hold one of `words`, of those that were written since `before` was: reading all that
/// other tests keep there takes long.
pub fn kept_since(before: &Path, words: &[&str]) -> String {
    let words = words.iter().flat_map(|word| ["-e", word]);
    let find = || {
        let mut find = Command::new("find");
        find.args([text(&shared().path().join("store")), "-type", "f", "-cnewer", text(before)]);
        find
    };
    assert!(!run(&mut find()).stdout.is_empty(), "nothing was written, so that nothing is looked into");
    run(find().args(["-exec", "grep", "-laF"]).args(words).args(["{}", "+"])).stdout
}
