//! Debian packages: the archive around them, and the files in its members.
#![no_main]

use std::io::Read;

use layers::compress::decoder;
use layers::tar::{for_each, small};
use layers::unpack::{UnpackError, deb};
use libfuzzer_sys::fuzz_target;

const MOST: u64 = 4 << 20;

fuzz_target!(|data: &[u8]| {
    for name in ["control.tar", "data.tar"] {
        let _ = deb::member(data, name, |member| {
            let reader = decoder(member)?.1.take(MOST);
            for_each::<_, UnpackError>(reader, |entry, content| Ok(drop(small(&entry, content, 1 << 16)?)))
        });
    }
});
