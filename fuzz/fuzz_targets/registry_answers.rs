//! What registries and token servers send: headers, bodies, manifests. The first byte says which.
#![no_main]

use alloy::image::{Image, Index, Manifest, select};
use alloy::plan::Platform;
use alloy::registry::fuzz;
use layers::digest::Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 7 {
        0 => fuzz::challenge(&text),
        1 => assert!(!fuzz::leads_away(&text), "{text}"),
        2 => fuzz::pause(&text),
        3 => assert!(!fuzz::body(rest).chars().any(layers::path::steers)),
        4 => assert!(!fuzz::misread(&text), "{text}"),
        5 => {
            if let Ok(index) = serde_json::from_slice::<Index>(rest) {
                let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
                let _ = select("x", &index, &platform);
            }
        }
        _ => {
            // A manifest, and behind a zero byte its config.
            let mut parts = rest.splitn(2, |byte| *byte == 0);
            let (manifest, config) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(manifest) {
                let _ = Image::new("x", Digest::of(rest), &manifest, config);
            }
        }
    }
});
