//! Public keys of the distributions' archives that alloy has with it, for machines that have no keyring of a
//! distribution. `data/keys/README.md` says where they are from.

use super::sources::Distribution;

/// The armoured keys of a distribution.
pub fn keys(distribution: Distribution) -> &'static [&'static str] {
    match distribution {
        Distribution::Debian => &DEBIAN,
        Distribution::Ubuntu => &UBUNTU,
    }
}

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../data/keys/", $name, ".asc"))
    };
}

const DEBIAN: [&str; 9] = [
    key!("debian-bullseye-automatic"),
    key!("debian-bullseye-security"),
    key!("debian-bullseye-stable"),
    key!("debian-bookworm-automatic"),
    key!("debian-bookworm-security"),
    key!("debian-bookworm-stable"),
    key!("debian-trixie-automatic"),
    key!("debian-trixie-security"),
    key!("debian-trixie-stable"),
];
const UBUNTU: [&str; 2] = [key!("ubuntu-2012"), key!("ubuntu-2018")];

#[cfg(test)]
mod tests {
    use pgp::composed::{Deserializable, SignedPublicKey};
    use pgp::types::KeyDetails;

    use super::*;

    #[test]
    fn the_keys_are_the_distributions() {
        let of = |distribution| {
            let key = |text: &&str| SignedPublicKey::from_armor_single(text.as_bytes()).unwrap().0;
            let names = keys(distribution).iter().map(key).map(|key| format!("{:X}", key.primary_key.fingerprint()));
            names.collect::<Vec<_>>()
        };
        let debian = [
            "1F89983E0081FDE018F3CC9673A4F27B8DD47936",
            "AC530D520F2F3269F5E98313A48449044AAD5C5D",
            "A4285295FC7B1A81600062A9605C66F00D6C9793",
            "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
            "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0",
            "4D64FEC119C2029067D6E791F8D2585B8783D481",
            "04B54C3CDCA79751B16BC6B5225629DF75B188BD",
            "5E04A1E3223A19A20706E20F9904613D4CCE68C6",
            "41587F7DB8C774BCCF131416762F67A0B2C39DE4",
        ];
        let ubuntu = ["790BC7277767219C42C86F933B4FE6ACC0B21F32", "F6ECB3762474EDA9D21B7022871920D1991BC93C"];
        assert_eq!(of(Distribution::Debian), debian);
        assert_eq!(of(Distribution::Ubuntu), ubuntu);
        // The page that goes with them names the same ones.
        let page = include_str!("../../data/keys/README.md");
        assert!(debian.iter().chain(&ubuntu).all(|name| page.contains(name)));
    }
}
