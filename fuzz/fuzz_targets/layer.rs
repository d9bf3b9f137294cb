//! Layers, put on a directory that has files already, in both forms: what is beside it stays as it is.
#![no_main]

use std::path::Path;

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::root::{Root, remove_tree};
use libfuzzer_sys::fuzz_target;

fn filled(tree: &Path) {
    std::fs::create_dir_all(tree.join("a/b")).expect("a directory");
    std::fs::write(tree.join("a/file"), "1").expect("a file");
    std::os::unix::fs::symlink("../outside", tree.join("link")).expect("a link");
}

fuzz_target!(|data: &[u8]| {
    let scratch = tempfile::tempdir().expect("a directory").keep();
    let outside = scratch.join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::fs::write(outside.join("kept"), "kept").expect("a file");
    for (form, name) in [(Form::Plain, "plain"), (Form::OverlayLower, "lower")] {
        let tree = scratch.join(name);
        filled(&tree);
        let root = Root::open(&tree).expect("a root");
        let _ = apply(data, &root, &ApplyOptions { form, parents: None, ownership: Ownership::Invoker });
    }
    let names: Vec<_> =
        std::fs::read_dir(&outside).expect("a directory").flatten().map(|found| found.file_name()).collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(std::fs::read(outside.join("kept")).expect("a file"), b"kept");
    remove_tree(&scratch).expect("an end");
});
