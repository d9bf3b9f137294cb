//! Zip archives, which are read by the directory at their end.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../shared/both_ways.rs"]
mod shared;

fuzz_target!(|data: &[u8]| {
    if data.starts_with(b"PK") {
        shared::both_ways(data);
    }
});
