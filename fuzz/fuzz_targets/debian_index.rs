//! What archives send: releases in their frame of a signature, indexes of packages, versions. The first byte says which.
#![no_main]

use std::cmp::Ordering;

use alloy::debian::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 4 {
        0 => fuzz::release(&text),
        // Framed, so that the fuzzer need not find out how.
        1 => fuzz::release(&format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}")),
        2 => fuzz::packages(rest),
        _ => {
            let (a, b) = text.split_once('\n').unwrap_or((&text, ""));
            let (there, back) = fuzz::versions(a, b);
            assert_eq!(there, back.reverse());
            assert_eq!(fuzz::versions(a, a).0, Ordering::Equal);
        }
    }
});
