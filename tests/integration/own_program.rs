//! alloy's own program, which an image has started with libraries of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::user::User;
use crate::support::{ALLOY, readable, repository, run, shared, tasks, text, tool};

/// Gives whatever program loads it another mode, and says so.
const LIBRARY: &str = "#include <sys/stat.h>\n#include <unistd.h>\n\
    __attribute__((constructor)) static void loaded(void) {\n\
    chmod(\"/proc/self/exe\", 06777);\nif (write(1, \"loaded\\n\", 7)) {}\n}\n";

/// Makes an image whose every program loads the library, and in which a script has alloy itself for its interpreter.
const PREPARE: &str = "cp /lent/library.so /usr/lib/ && printf '#!/proc/self/exe\\n' > /usr/bin/again && \
    chmod 755 /usr/bin/again && echo /usr/lib/library.so > /etc/ld.so.preload";

fn library() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("library.c"), LIBRARY).unwrap();
    let (source, object) = (place.path().join("library.c"), place.path().join("library.so"));
    tool("cc", &["-shared", "-fPIC", "-o", text(&object), text(&source)]).ok();
    readable(&place);
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    place
}

fn mode(program: &Path) -> u32 {
    fs::metadata(program).unwrap().permissions().mode() & 0o7777
}

#[test]
fn nobody_changes_the_program_of_root() {
    let (library, place) = (library(), tempfile::tempdir().unwrap());
    let program = place.path().join("alloy");
    fs::copy(ALLOY, &program).unwrap();
    shared().build(&[text(&repository("examples/hello")), "-t", "own-program"]);
    let volume = format!("{}:/lent:ro", text(library.path()));
    shared().run(&["run", "--rw", "-v", &volume, "own-program", "sh", "-c", PREPARE]).ok();
    let before = mode(&program);
    for sandbox in ["privileged", "userns"] {
        let mut command = Command::new(&program);
        command.args(["run", "own-program", "again"]).env("ALLOY_SANDBOX", sandbox);
        let ended = run(command.env("ALLOY_HOME", shared().path().join("store")));
        assert!(ended.stdout.starts_with("loaded\n"), "{sandbox}: {ended:?}");
        assert_eq!(mode(&program), before, "{sandbox}");
    }
}

#[test]
fn nobody_changes_the_program_of_a_user() {
    let (library, user) = (library(), User::new().with_base());
    let program = user.home().join("alloy");
    let blueprint = tasks("- {name: one, action: write_env_file, file: /etc/env, content: x}\n");
    user.shell(&format!("alloy build {} -t own-program", readable(&blueprint))).ok();
    // The user's own.
    user.shell("cp alloy mine && mv -f mine alloy").ok();
    let before = mode(&program);
    let volume = format!("{}:/lent:ro", text(library.path()));
    user.shell(&format!("alloy run --rw -v {volume} own-program sh -c {PREPARE:?}")).ok();
    let ended = user.shell("alloy run own-program again");
    assert!(ended.stdout.starts_with("loaded\n"), "{ended:?}");
    assert_eq!(mode(&program), before);
}
