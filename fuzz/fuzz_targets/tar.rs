//! The reader of tars: no input may make it panic, hang, or give more than it was given.
#![no_main]

use std::io::Read;

use layers::tar::{TarError, for_each, for_each_plain};
use libfuzzer_sys::fuzz_target;

/// Of a sparse file, which may be of any size.
const MOST: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut names = Vec::new();
    let read = for_each::<_, TarError>(data, |entry, content| {
        assert!(entry.path.is_relative() && entry.path.iter().all(|element| element != ".."));
        let mut bytes = Vec::new();
        content.take(MOST).read_to_end(&mut bytes)?;
        assert!(bytes.len() as u64 <= entry.size);
        names.push(entry.path);
        Ok(())
    });
    if let Ok(count) = read {
        assert_eq!(count, names.len() as u64);
    }
    let _ = for_each_plain::<_, TarError>(data, |_, content| content.hole().map(|_| ()).map_err(TarError::from));
});
