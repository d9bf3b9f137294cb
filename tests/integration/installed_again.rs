//! A second `install` runs nothing, whatever the blueprint is: of the fixtures, those that need nothing but their own files.
//! The one with every action of published blueprints is in `published_shapes`.

use crate::support::host::Host;
use crate::support::{copy_of, shared, text};

#[test]
fn a_second_install_of_a_fixture_runs_nothing() {
    for (name, tasks, debian) in [
        ("testdata/blueprints/ok/binfmt-in-an-image", 1, false),
        ("testdata/blueprints/ok/byte-order-mark", 1, false),
        ("testdata/blueprints/ok/in-folders", 0, false),
        ("testdata/blueprints/ok/modes", 14, false),
        ("testdata/blueprints/ok/nothing-to-do", 0, false),
        ("testdata/blueprints/ok/warnings", 1, true),
        ("testdata/blueprints/ok/windows", 1, false),
        ("examples/hello", 1, true),
    ] {
        let host = if debian { Host::debian() } else { Host::bare() };
        let copy = copy_of(name);
        let directory = copy.path();
        let first = host.install(shared(), directory, &[]).ok().stdout;
        let second = host.install(shared(), directory, &[]).ok().stdout;
        assert!(first.starts_with(&format!("{tasks} done")), "{name}: {first}");
        let skipped = if tasks == 0 { "0 done in".to_owned() } else { format!("0 done, {tasks} skipped") };
        assert!(second.starts_with(&skipped), "{name}: {second}");
        if tasks > 0 {
            let said = host.drift(shared(), &["--blueprint-dir", text(directory)]).ok().stdout;
            assert!(said.starts_with("no drift") || said.starts_with("nothing to look at"), "{name}: {said}");
        }
    }
}
