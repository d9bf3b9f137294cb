//! Extended attributes of members.

use super::*;

/// A member `x` of this kind, with attributes.
fn with_attributes(kind: u8, attributes: &[(&str, &[u8])]) -> Vec<u8> {
    let records = attributes.iter().map(|(name, value)| pax(&format!("SCHILY.xattr.{name}"), value));
    let records: Vec<_> = records.chain((kind == b'2').then(|| pax("linkpath", b"target"))).collect();
    ended(&[member(b'x', b"pax", &records.concat()), member(kind, b"x", b"")])
}

#[test]
fn attributes_that_no_kernel_takes_are_refused_when_the_layer_is_made() {
    for kind in *b"26" {
        refused(&with_attributes(kind, &[("user.a", b"b")]), "`x` has a `user.` attribute");
    }
    for kind in *b"05" {
        streamed(&with_attributes(kind, &[("user.a", b"b")])).unwrap();
        refused(&with_attributes(kind, &[("user.", b"b")]), "of whose name there is only the beginning");
        refused(&with_attributes(kind, &[("security.capability", b"abc")]), "`x` has capabilities");
    }
    let capability = |revision: [u8; 4], length: usize| {
        with_attributes(b'0', &[("security.capability", &[&revision[..], &vec![0; length - 4]].concat())])
    };
    for (revision, length) in [([1, 0, 0, 2], 20), ([0, 0, 0, 2], 20), ([1, 0, 0, 3], 24)] {
        streamed(&capability(revision, length)).unwrap();
        refused(&capability(revision, length + 1), "`x` has capabilities");
        refused(&capability(revision, length - 4), "`x` has capabilities");
    }
    for (revision, length) in [([1, 0, 0, 1], 12), ([2, 0, 0, 2], 20), ([1, 0, 0, 4], 20), ([1, 0, 0, 4], 24)] {
        refused(&capability(revision, length), "`x` has capabilities");
    }
    let names: Vec<String> = (0..400).map(|n| format!("user.{}{n}", "n".repeat(240))).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
    refused(&with_attributes(b'0', &many), "`x` has extended attributes whose names");
}

/// The file system says how much it holds.
#[test]
fn large_attributes_are_tried_in_place() {
    let large = [b'v'; 60_000];
    for attributes in [vec![("user.a", &large[..])], vec![("user.a", &large[..2000]), ("user.b", &large[..2000])]] {
        let bytes = with_attributes(b'0', &attributes);
        let error = streamed(&bytes).unwrap_err();
        assert!(error.contains("has to be unpacked in place: it has more extended attributes"), "{error}");
        assert_eq!(read(&bytes).unwrap()[0].0.xattrs.len(), attributes.len());
    }
    streamed(&with_attributes(b'0', &[("user.a", &large[..2000])])).unwrap();
}

#[test]
fn names_of_attributes_are_any_bytes() {
    let record = [&b"25 SCHILY.xattr.user.\xff"[..], b"=v\n"].concat();
    let bytes = ended(&[member(b'x', b"pax", &record), member(b'0', b"x", b"")]);
    let name = std::os::unix::ffi::OsStringExt::from_vec(b"user.\xff".to_vec());
    assert_eq!(read(&bytes).unwrap()[0].0.xattrs, [(name, b"v".to_vec())]);
}
