//! What is found to be damaged in a store is put aside, so that it is fetched or made again, and told.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::regular;

/// Where it goes. `prune` deletes it.
pub(super) const ASIDE: &str = "aside";

/// Something of the store that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// A phrase: `the blob sha256:…`.
    pub what: String,
    /// What was found instead, as a sentence without its end.
    pub why: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of something damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It was put aside: it counts as missing.
    Aside,
    /// The store cannot be written.
    Stays(String),
    /// Somebody wanted to know, and no more.
    Left,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why, fate } = self;
        match fate {
            Fate::Aside => write!(f, "the store's {what} is damaged ({why}), and was put aside"),
            Fate::Left => write!(f, "the store's {what} is damaged ({why})"),
            Fate::Stays(reason) => write!(f, "the store's {what} is damaged ({why}), and stays there: {reason}"),
        }
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Wrong(Box::new(damage))
    }
}

/// What is said of something that is there and cannot be read, whoever tries: the disk has lost it, or it is not even a
/// file. Other errors are no damage, and are given back.
pub(super) fn unreadable(error: io::Error) -> io::Result<String> {
    let lost = [Errno::IO, Errno::ILSEQ, Errno::BADMSG, Errno::UCLEAN, Errno::LOOP, Errno::ISDIR, Errno::NODATA];
    let lost = Errno::from_io_error(&error).is_some_and(|errno| lost.contains(&errno));
    if lost || regular::is_refusal(&error) { Ok(error.to_string()) } else { Err(error) }
}

type Listener = Box<dyn Fn(&Damage) + Send + Sync>;

/// All that was found damaged by whoever has this store open, and who is told of it.
#[derive(Clone, Default)]
pub(super) struct Found(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    all: Vec<Damage>,
    listener: Option<Listener>,
    /// Nothing is put aside.
    left: bool,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().all.iter()).finish()
    }
}

impl Found {
    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Has `listener` told of all damage that is found from now on.
    pub fn on_damage(&self, listener: impl Fn(&Damage) + Send + Sync + 'static) {
        self.found.lock().listener = Some(Box::new(listener));
    }

    /// From now on damage is left where it is, and nobody is told: for who looks at all of it.
    pub fn leave_damage(&self) {
        self.found.lock().left = true;
    }

    /// All damage that was found through this store and its clones, in the order in which it was found.
    pub fn damage(&self) -> Vec<Damage> {
        self.found.lock().all.clone()
    }

    /// The same, which then counts as told.
    pub fn take_damage(&self) -> Vec<Damage> {
        std::mem::take(&mut self.found.lock().all)
    }

    /// Takes note of damage that another process has found and put aside.
    pub fn note_damage(&self, damage: Damage) {
        let mut found = self.found.lock();
        if let Some(listener) = &found.listener {
            listener(&damage);
        }
        found.all.push(damage);
    }

    /// Puts a file or a directory of this store aside, and tells of it. Whoever is second finds it gone, which is as
    /// good.
    pub fn put_aside(&self, path: &Path, what: impl Into<String>, why: impl Into<String>) -> Damage {
        if self.found.lock().left {
            return Damage { what: what.into(), why: why.into(), fate: Fate::Left };
        }
        let fate = match self.moved_aside(path) {
            Ok(()) => Fate::Aside,
            Err(error) => Fate::Stays(error.to_string()),
        };
        let damage = Damage { what: what.into(), why: why.into(), fate };
        self.note_damage(damage.clone());
        damage
    }

    pub(super) fn moved_aside(&self, path: &Path) -> io::Result<()> {
        let place = self.root.join(ASIDE);
        let moved = match DirBuilder::new().mode(0o700).create(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => fs::rename(path, self.aside_name(path)),
        };
        match moved {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // On a full disk there is no room even for a name; and what is damaged is of no use.
            Err(_) if !path.is_dir() => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            moved => moved,
        }
    }

    /// A free name: a directory is not replaced by another.
    fn aside_name(&self, path: &Path) -> PathBuf {
        let part = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('/', "-");
        let names = (0..).map(|number: u32| match number {
            0 => part.clone(),
            number => format!("{part}.{number}"),
        });
        let mut names = names.map(|name| self.root.join(ASIDE).join(name));
        names.find(|path| path.symlink_metadata().is_err()).unwrap_or_default()
    }

    /// The same if `repair`; else it is only told what is wrong.
    pub(super) fn found_wrong(&self, path: &Path, what: String, why: String, repair: bool) -> Damage {
        if repair { self.put_aside(path, what, why) } else { Damage { what, why, fate: Fate::Left } }
    }

    /// All that was put aside and is still there.
    pub fn aside(&self) -> Result<Vec<PathBuf>, StoreError> {
        let place = self.root.join(ASIDE);
        Ok(super::list(&place)?.into_iter().map(|name| place.join(name)).collect())
    }
}
