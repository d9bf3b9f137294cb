//! Which packages a base has, and which sources it asks for more.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which packages a base has beside those that are essential (Debian policy 3.8), and what all of these need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// None: not even apt.
    Essential,
    /// What installs more: apt, and `passwd`, which has `useradd`.
    #[default]
    Apt,
    /// The same, and all of priority `required`, as debootstrap's variant of that name has.
    Minbase,
}

impl Variant {
    /// All, the smallest first.
    pub const ALL: [Self; 3] = [Self::Essential, Self::Apt, Self::Minbase];

    /// As an author writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Essential => "essential",
            Self::Apt => "apt",
            Self::Minbase => "minbase",
        }
    }

    /// Packages that it has by name, where the archive has them.
    pub(super) fn roots(self) -> &'static [&'static str] {
        match self {
            Self::Essential => &[],
            Self::Apt | Self::Minbase => &["apt", "base-files", "passwd"],
        }
    }

    /// True if it has all packages of priority `required`.
    pub(super) fn has_required(self) -> bool {
        self == Self::Minbase
    }
}

impl FromStr for Variant {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|variant| variant.name() == text).ok_or(())
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a base of a suite is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Components of the sources that it has, such as `main contrib`; those of the machine's own where none are named.
    pub components: Option<Vec<String>>,
    /// Its packages.
    pub variant: Variant,
}
