//! What `image.base` and `--base` may say.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::debian::{Contents, Variant};
use crate::plan::SCRATCH;
use crate::registry::Reference;

/// Where a base comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseRef {
    /// A registry; an image of the store where no registry is named and the store has one of that name.
    Registry(Reference),
    /// An image of the store, whatever its name.
    Local(Reference),
    /// Nothing at all.
    Scratch,
    /// An OCI image layout. What stands behind its directory says which of its images is meant, by name or by digest;
    /// where that begins, the disk alone says, see [`layout_place`](super::layout_place).
    Oci(PathBuf),
    /// An OCI image layout in a tar; the same stands behind the file.
    OciArchive(PathBuf),
    /// What `docker save` writes; the same stands behind the file.
    DockerArchive(PathBuf),
    /// A root file system: a directory, or a tar in any compression.
    Rootfs(PathBuf),
    /// Made from the signed archive of a distribution.
    Deb {
        /// Code name.
        suite: String,
        /// What it has.
        contents: Contents,
    },
}

/// Not a base.
#[derive(Debug, thiserror::Error)]
pub enum BaseRefError {
    /// A scheme without what it needs.
    #[error("`{text}` needs {what} behind the colon")]
    Incomplete {
        /// The text.
        text: String,
        /// What is missing.
        what: &'static str,
    },
    /// A suite with something behind it that is not understood.
    #[error("`{text}` is not understood: {message}")]
    Suite {
        /// The text.
        text: String,
        /// What is wrong.
        message: String,
    },
    /// Not an image reference either.
    #[error(transparent)]
    Reference(#[from] crate::registry::ReferenceError),
}

impl BaseRef {
    /// What stands before the colon of bases that are not named like images.
    pub const SCHEMES: [&str; 6] = ["oci", "oci-archive", "docker-archive", "rootfs", "deb", "local"];
}

impl FromStr for BaseRef {
    type Err = BaseRefError;

    fn from_str(text: &str) -> Result<Self, BaseRefError> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let known = Self::SCHEMES.contains(&scheme);
        // `oci::tag` has no path either.
        let empty = rest.is_empty() || scheme == "oci" && rest.starts_with(':') && !rest.contains('/');
        if known && empty {
            let what = match scheme {
                "deb" => "a suite, such as `bookworm`,",
                "local" => "the name of an image",
                _ => "a path",
            };
            return Err(BaseRefError::Incomplete { text: text.to_owned(), what });
        }
        Ok(match scheme {
            // `oci:5` could be an image called `oci`; a path is meant far more often.
            "oci" => Self::Oci(rest.into()),
            "oci-archive" => Self::OciArchive(rest.into()),
            "docker-archive" => Self::DockerArchive(rest.into()),
            "rootfs" => Self::Rootfs(rest.into()),
            "deb" => deb(text, rest)?,
            "local" => Self::Local(rest.parse()?),
            _ if text == SCRATCH => Self::Scratch,
            _ => Self::Registry(text.parse()?),
        })
    }
}

/// A suite, and what may stand behind it.
fn deb(text: &str, rest: &str) -> Result<BaseRef, BaseRefError> {
    let wrong = |message: String| BaseRefError::Suite { text: text.to_owned(), message };
    let (suite, query) = rest.split_once('?').map_or((rest, None), |(suite, query)| (suite, Some(query)));
    if suite.is_empty() {
        return Err(wrong("it names no suite, such as `bookworm`".to_owned()));
    }
    let mut contents = Contents::default();
    let mut seen = BTreeSet::new();
    for part in query.into_iter().flat_map(|query| query.split('&')) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if !seen.insert(name) {
            return Err(wrong(format!("`{name}` is given twice")));
        }
        match name {
            "components" => contents.components = Some(components(value).map_err(|message| wrong(message.to_owned()))?),
            "variant" => {
                contents.variant = value.parse().map_err(|()| {
                    wrong(format!("a variant is one of {}", Variant::ALL.map(Variant::name).join(", ")))
                })?;
            }
            _ => {
                return Err(wrong("write `?components=main,contrib`, `?variant=minbase`, or both with `&`".to_owned()));
            }
        }
    }
    Ok(BaseRef::Deb { suite: suite.to_owned(), contents })
}

fn components(list: &str) -> Result<Vec<String>, &'static str> {
    let names: Vec<String> = list.split(',').map(str::to_owned).collect();
    let fits = |name: &String| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-+./".contains(c))
    };
    if !names.iter().all(fits) {
        return Err("components are names with commas between them, such as `main,contrib,non-free-firmware`");
    }
    if !names.iter().any(|name| name == "main") {
        return Err("`main` has to be among the components: the base itself comes from it");
    }
    Ok(names)
}

impl fmt::Display for BaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::Local(reference) => write!(f, "local:{reference}"),
            Self::Scratch => f.write_str(SCRATCH),
            Self::Oci(path) => write!(f, "oci:{}", path.display()),
            Self::OciArchive(path) => write!(f, "oci-archive:{}", path.display()),
            Self::DockerArchive(path) => write!(f, "docker-archive:{}", path.display()),
            Self::Rootfs(path) => write!(f, "rootfs:{}", path.display()),
            Self::Deb { suite, contents } => {
                write!(f, "deb:{suite}")?;
                let components = contents.components.as_ref().map(|names| format!("components={}", names.join(",")));
                let variant = Some(contents.variant).filter(|variant| *variant != Variant::default());
                let parts: Vec<String> =
                    components.into_iter().chain(variant.map(|v| format!("variant={v}"))).collect();
                if parts.is_empty() { Ok(()) } else { write!(f, "?{}", parts.join("&")) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_base() {
        for (text, shown) in [
            ("deb:bookworm", "deb:bookworm"),
            ("deb:bookworm?components=main,contrib", "deb:bookworm?components=main,contrib"),
            ("deb:bookworm?variant=minbase", "deb:bookworm?variant=minbase"),
            ("deb:bookworm?variant=apt", "deb:bookworm"),
            ("deb:sid?variant=essential&components=main", "deb:sid?components=main&variant=essential"),
            ("oci:dir:v1", "oci:dir:v1"),
            ("oci:/a/dir", "oci:/a/dir"),
            ("oci:dir:b:2", "oci:dir:b:2"),
            ("scratch", "scratch"),
            ("scratch:1", "scratch:1"),
            ("oci-archive:a.tar", "oci-archive:a.tar"),
            ("docker-archive:a.tar", "docker-archive:a.tar"),
            ("rootfs:/srv/root", "rootfs:/srv/root"),
            ("debian:bookworm", "debian:bookworm"),
            ("r.example:5000/a/b", "r.example:5000/a/b:latest"),
            ("local:rig", "local:rig:latest"),
            ("local:r.example:5000/a/b:1", "local:r.example:5000/a/b:1"),
        ] {
            assert_eq!(text.parse::<BaseRef>().unwrap().to_string(), shown);
        }
        for bad in [
            "deb:x?",
            "deb:x?main",
            "deb:x?components=",
            "deb:x?components=contrib",
            "deb:?components=main",
            "deb:x?variant=",
            "deb:x?variant=a&variant=a",
        ] {
            assert!(matches!(bad.parse::<BaseRef>(), Err(BaseRefError::Suite { .. })), "{bad}");
        }
        for bad in ["deb:", "rootfs:", "oci:", "oci::v1", "local:", "local:NOT", "NOT OK", ""] {
            assert!(bad.parse::<BaseRef>().is_err(), "{bad}");
        }
    }
}
