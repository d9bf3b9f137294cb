//! Two users who have changed places.
//!
//! Where a user of an image is the one who runs it, the user's files on the disk are that caller's, and root's are those
//! of the id that the user had before. Whoever reads or writes such a directory does what is undone by doing it again.

use serde::{Deserialize, Serialize};

/// Which user and group stand in root's place, and root in theirs. With 0, nobody does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exchange {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Exchange {
    /// True where nobody has changed places.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The user id that stands where `uid` did.
    pub fn user(self, uid: u32) -> u32 {
        exchanged(uid, self.uid)
    }

    /// The group id that stands where `gid` did.
    pub fn group(self, gid: u32) -> u32 {
        exchanged(gid, self.gid)
    }
}

fn exchanged(id: u32, with: u32) -> u32 {
    match id {
        0 => with,
        id if id == with => 0,
        id => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_is_as_before() {
        let exchange = Exchange { uid: 1000, gid: 100 };
        assert_eq!([0, 1000, 100, 7].map(|id| exchange.user(id)), [1000, 0, 100, 7]);
        assert_eq!([0, 1000, 100, 7].map(|id| exchange.group(id)), [100, 1000, 0, 7]);
        for id in [0, 7, 100, 1000] {
            assert_eq!(exchange.user(exchange.user(id)), id);
            assert_eq!(Exchange::default().user(id), id);
        }
    }
}
