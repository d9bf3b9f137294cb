//! Archives of every format, decompressed, unpacked and made a layer: nothing may be made outside of the destination,
//! and what one way takes for damaged, the other does not take for whole.
#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;

#[path = "../shared/both_ways.rs"]
mod shared;

/// What a small input may decompress to here: time, not memory, is the limit of a fuzzer.
const MOST: u64 = 4 << 20;

fn is_short(data: &[u8]) -> bool {
    let Ok((_, reader)) = layers::compress::decoder(data) else { return true };
    io::copy(&mut reader.take(MOST), &mut io::sink()).is_ok_and(|size| size < MOST)
}

fuzz_target!(|data: &[u8]| {
    // Damage is an error of both ways, too; a sparse file may have any size.
    let sparse = data.windows(10).any(|window| window == b"GNU.sparse");
    if is_short(data) && !sparse {
        shared::both_ways(data);
    }
});
