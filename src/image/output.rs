//! `-o type=…,dest=…`: an image as files of this machine. A half-written one never has its final name.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use layers::apply::Absent;
use layers::media_type::Descriptor;
use layers::store::Store;

use super::{ImageError, Layer};
use crate::plan::Platform;
use crate::sink::{Sink, Taken, unexpanded_home};

mod directory;
mod layout;
mod source;

use directory::Directory;
use layout::Layout;
pub use layout::{LAYOUT, PARTS};
use source::Source;

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// An OCI image layout.
    Oci,
    /// The same in a tar.
    OciArchive,
    /// What `docker load` reads.
    DockerArchive,
    /// The root file system in a tar.
    Tar,
    /// The root file system in a directory.
    Dir,
}

/// Where an output goes, after a look at what is there.
#[derive(Debug)]
pub struct Destination {
    kind: OutputKind,
    goal: Goal,
}

#[derive(Debug)]
enum Goal {
    Stream(Sink),
    Layout(Layout),
    Directories(Vec<Directory>),
}

/// One image, or one index of several, which is in the store with all its blobs.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The manifest or index.
    pub manifest: &'a Descriptor,
    /// Its names, each with a tag; not none.
    pub names: &'a [String],
    /// `None` for an index.
    pub platform: Option<&'a Platform>,
}

/// A form and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Which form.
    pub kind: OutputKind,
    /// Where to.
    pub dest: PathBuf,
}

/// Not an output.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an output: {reason}; write type=oci|oci-archive|docker-archive|tar|dir,dest=PATH")]
pub struct OutputError {
    text: String,
    reason: String,
}

impl OutputKind {
    const ALL: [Self; 5] = [Self::Oci, Self::OciArchive, Self::DockerArchive, Self::Tar, Self::Dir];

    /// As the author writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
            Self::Tar => "tar",
            Self::Dir => "dir",
        }
    }

    /// True for a form that holds images of several platforms, or that can be written once for each.
    pub fn takes_several(self) -> bool {
        !matches!(self, Self::DockerArchive | Self::Tar)
    }
}

impl FromStr for Output {
    type Err = OutputError;

    fn from_str(text: &str) -> Result<Self, OutputError> {
        let error = |reason: &str| OutputError { text: text.to_owned(), reason: reason.to_owned() };
        let (mut kind, mut dest) = (None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("type", _)) if kind.is_some() => return Err(error("`type` is given twice")),
                Some(("dest", _)) if dest.is_some() => return Err(error("`dest` is given twice")),
                Some(("type", name)) => {
                    let named = OutputKind::ALL.into_iter().find(|kind| kind.name() == name);
                    kind = Some(named.ok_or_else(|| error(&format!("there is no type `{name}`")))?);
                }
                Some(("dest", path)) if !path.is_empty() => {
                    if let Some(home) = unexpanded_home(path) {
                        return Err(error(&format!("the shell does not expand `~` there: write dest={home}")));
                    }
                    dest = Some(PathBuf::from(path));
                }
                // What Docker takes for a directory.
                None if !text.contains(',') && !part.is_empty() => {
                    return Err(error(&format!("it says no type: for a directory write type=dir,dest={part}")));
                }
                _ => return Err(error(&format!("`{part}` makes no sense"))),
            }
        }
        let kind = kind.ok_or_else(|| error("`type` is missing"))?;
        Ok(Self { kind, dest: dest.ok_or_else(|| error("`dest` is missing"))? })
    }
}

impl Output {
    /// Looks at where it is to go, for images of `platforms`. What cannot be written is known by now, as far as it can be.
    pub fn look(&self, store: &Store, platforms: &[&Platform]) -> Result<Destination, ImageError> {
        let goal = match self.kind {
            OutputKind::Oci => Goal::Layout(Layout::look(&self.dest)?),
            OutputKind::Dir => {
                let own = |platform: &&Platform| self.dest.join(platform.to_string().replace('/', "_"));
                let places =
                    if let [_] = platforms { vec![self.dest.clone()] } else { platforms.iter().map(own).collect() };
                Goal::Directories(places.iter().map(|place| Directory::look(store, place)).collect::<Result<_, _>>()?)
            }
            _ => {
                let sink = Sink::at(&self.dest)?;
                if sink.is_terminal() {
                    return Err(ImageError::Terminal { kind: self.kind.name() });
                }
                Goal::Stream(sink)
            }
        };
        Ok(Destination { kind: self.kind, goal })
    }
}

impl Destination {
    /// What nothing else may be written to in the same command.
    pub fn taken(&self) -> Vec<Taken> {
        match &self.goal {
            Goal::Stream(sink) => sink.taken().into_iter().collect(),
            Goal::Layout(layout) => vec![Taken::Tree(layout.path().to_owned())],
            Goal::Directories(each) => each.iter().map(|one| Taken::Tree(one.path().to_owned())).collect(),
        }
    }

    /// True if nothing else may be printed.
    pub fn is_output(&self) -> bool {
        matches!(&self.goal, Goal::Stream(sink) if sink.is_output())
    }

    /// True if it must not be written twice.
    pub fn is_once(&self) -> bool {
        matches!(&self.goal, Goal::Stream(sink) if sink.is_once())
    }

    /// How it is called in messages.
    pub fn name(&self) -> String {
        match &self.goal {
            Goal::Stream(sink) => sink.name(),
            Goal::Layout(layout) => layout.path().display().to_string(),
            Goal::Directories(each) => {
                each.iter().map(|one| one.path().display().to_string()).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// Where the root file system goes as a tar, if it does.
    pub fn root_tar(&self) -> Option<&Sink> {
        match &self.goal {
            Goal::Stream(sink) if self.kind == OutputKind::Tar => Some(sink),
            _ => None,
        }
    }

    /// Writes the image, if it goes somewhere as one.
    pub fn write(&self, store: &Store, image: Written<'_>) -> Result<(), ImageError> {
        let source = Source::new(store, image);
        match (&self.goal, self.kind) {
            (Goal::Layout(layout), _) => layout.write(&source),
            (Goal::Stream(sink), OutputKind::OciArchive) => source.archive(sink, Source::oci),
            (Goal::Stream(sink), OutputKind::DockerArchive) => source.archive(sink, Source::docker),
            _ => Ok(()),
        }
    }

    /// Unpacks the layers of each platform, in the order in which they were named, if it is to hold directories. Gives those
    /// directories, and what of the layers is not in each.
    pub fn unpack(&self, store: &Store, each: &[Vec<Layer>]) -> Result<Vec<(&Path, Absent)>, ImageError> {
        let Goal::Directories(directories) = &self.goal else { return Ok(Vec::new()) };
        let each = directories.iter().zip(each);
        each.map(|(directory, layers)| Ok((directory.path(), directory.unpack(store, layers)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_in_any_order() {
        let output: Output = "dest=x/y.oci,type=oci".parse().unwrap();
        assert_eq!(output, Output { kind: OutputKind::Oci, dest: "x/y.oci".into() });
        for (bad, said) in [
            ("oci", "write type=dir,dest=oci"),
            ("type=oci", "`dest` is missing"),
            ("dest=x", "`type` is missing"),
            ("type=zip,dest=x", "there is no type `zip`"),
            ("type=oci,dest=", "makes no sense"),
            ("type=oci,dest=x,y=z", "`y=z` makes no sense"),
            ("type=oci,dest=a,dest=b", "`dest` is given twice"),
            ("type=oci,type=oci,dest=a", "`type` is given twice"),
            ("type=tar,dest=~/x.tar", r#"write dest="$HOME/x.tar""#),
            ("type=tar,dest=~", r#"write dest="$HOME""#),
            ("type=dir,dest=~dev/x", r#"write dest="$(echo ~dev)/x""#),
        ] {
            let told = bad.parse::<Output>().unwrap_err().to_string();
            assert!(told.contains(said), "{bad}: {told}");
        }
        assert!("type=tar,dest=./~x".parse::<Output>().is_ok());
    }
}
