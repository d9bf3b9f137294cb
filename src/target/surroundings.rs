//! What commands of a layer have around them, besides the layers below.

use std::collections::BTreeMap;

use layers::digest::Digest;

use super::aptcache::AptCache;
use super::lent::Lent;

/// What commands of a layer have around them.
pub struct Surroundings {
    /// The environment of the image.
    pub env: BTreeMap<String, String>,
    /// What this machine lends.
    pub lent: Lent,
    /// The package lists of apt, where there is one.
    pub apt: Option<AptCache>,
    /// The packages that the base's archive has.
    pub index: Option<Digest>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
}
