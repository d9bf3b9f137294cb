// An archive, unpacked and made a layer.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use layers::apply::Ownership;
use layers::diff::ExcludeSet;
use layers::portable::{Place, portable};
use layers::root::{Root, remove_tree};
use layers::stop::Stop;
use layers::store::Store;
use layers::unpack::{UnpackError, UnpackOptions, unpack};

/// All that is in an archive is in its layer.
static NOTHING: ExcludeSet = ExcludeSet::new(&[], &[], &[]);

fn opened(data: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(data).and_then(|()| file.rewind()).expect("a written file");
    file
}

/// Nothing may be made outside of the destination; what is damaged for one way is for the other.
pub fn both_ways(data: &[u8]) {
    let scratch = tempfile::tempdir().expect("a directory").keep();
    let (outside, inside) = (scratch.join("outside"), scratch.join("outside/inside"));
    std::fs::create_dir_all(&inside).expect("a directory");
    let root = Root::open(&inside).expect("a root");
    let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: false };
    let in_place = unpack(opened(data), &root, Path::new(""), &options);
    assert_eq!(std::fs::read_dir(&outside).expect("a directory").count(), 1);
    let store = Store::open(scratch.join("store")).expect("a store");
    let stop = Stop::default();
    let place = Place::as_it_is(&NOTHING, &stop);
    let writer = store.layer_writer("zstd:1".parse().expect("a compression")).expect("a writer");
    let streamed = portable(opened(data), &place, writer);
    if let (Err(UnpackError::Tar(error)), Ok(_)) = (&in_place, &streamed) {
        panic!("only in place: {error}");
    }
    remove_tree(&scratch).expect("an end");
}
