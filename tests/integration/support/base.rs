//! Stores that have the default base already. It is made once, whatever tests run, and each of these stores is a copy:
//! nothing that a test does to its own is seen by another.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::user::User;
use super::{Store, tasks, text, tool};

/// The place of the store that the others are copies of; it is in `store`.
pub fn template() -> &'static Path {
    static TEMPLATE: OnceLock<(Store, Child)> = OnceLock::new();
    let (store, _) = TEMPLATE.get_or_init(|| {
        let store = Store::new();
        let sweeper = swept(store.path());
        // A command that no test has: its layer is known to all of these stores.
        let nothing = tasks("- {name: nothing, action: run_command, reason: test, command: ': makes the base'}\n");
        let built = store.build(&[text(nothing.path()), "--no-attest"]);
        // The image and the log that it was made for are nothing of the base's.
        let place = store.path().join("store");
        let layers: Vec<&str> = built["base"]["layers"].as_array().unwrap().iter().map(digest).collect();
        for blob in fs::read_dir(place.join("blobs/sha256")).unwrap().flatten() {
            let name = format!("sha256:{}", text(Path::new(&blob.file_name())));
            if !layers.contains(&name.as_str()) {
                fs::remove_file(blob.path()).unwrap();
            }
        }
        assert_eq!(fs::read_dir(place.join("blobs/sha256")).unwrap().count(), 1, "{layers:?}");
        for part in ["logs", "records/lasts"] {
            fs::remove_dir_all(place.join(part)).unwrap();
        }
        (store, sweeper)
    });
    store.path()
}

fn digest(layer: &Value) -> &str {
    layer["descriptor"]["digest"].as_str().unwrap()
}

impl Store {
    /// A store of a test's own that has the default base, as the first build on it leaves it.
    pub fn with_base() -> Self {
        let store = Self::new();
        let from = template().join("store");
        tool("cp", &["-a", "--reflink=auto", text(&from), text(&store.path().join("store"))]).ok();
        store
    }
}

impl User {
    /// Gives the user's store the layer of the default base, from which this user's own tree of it is unpacked.
    pub fn with_base(self) -> Self {
        let home = self.home();
        let name = text(Path::new(home.file_name().unwrap())).to_owned();
        let script =
            "set -e; mkdir -p \"$2/.local/share/alloy\"; cp -a --reflink=auto \"$1/.\" \"$2/.local/share/alloy\"
                      rm -r \"$2/.local/share/alloy/trees\"; mkdir \"$2/.local/share/alloy/trees\"
                      chown -R \"$3:\" \"$2/.local\"";
        tool("sh", &["-c", script, "sh", text(&template().join("store")), text(&home), &name]).ok();
        self
    }
}

/// Nothing drops what is static: whoever reads from this process until its end deletes what is left of `place`.
pub(super) fn swept(place: &Path) -> Child {
    let mut sweeper = Command::new("sh");
    sweeper.args(["-c", "cat > /dev/null; rm -rf \"$0\"", text(place)]).stdin(Stdio::piped());
    sweeper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
