//! `-o type=…,dest=…`: an image as files of this machine. A half-written one never has its final name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::compress::layer_decoder;
use layers::digest::DiffId;
use layers::media_type::{self, Descriptor};
use layers::root::Root;
use layers::store::Store;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use serde::de::DeserializeOwned;

use super::layout::REF_NAME;
use super::{Files, ImageError, Index, IndexEntry, JSON_LIMIT, Layer, Manifest};
use crate::plan::Platform;

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
                Some(("type", "oci")) => kind = Some(OutputKind::Oci),
                Some(("type", "oci-archive")) => kind = Some(OutputKind::OciArchive),
                Some(("type", "docker-archive")) => kind = Some(OutputKind::DockerArchive),
                Some(("type", "tar")) => kind = Some(OutputKind::Tar),
                Some(("type", "dir")) => kind = Some(OutputKind::Dir),
                Some(("type", other)) => return Err(error(&format!("no type `{other}`"))),
                Some(("dest", path)) if !path.is_empty() => dest = Some(PathBuf::from(path)),
                _ => return Err(error(&format!("`{part}` makes no sense"))),
            }
        }
        let kind = kind.ok_or_else(|| error("`type` is missing"))?;
        Ok(Self { kind, dest: dest.ok_or_else(|| error("`dest` is missing"))? })
    }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> ImageError + '_ {
    move |source| ImageError::Write { path: path.to_owned(), source }
}

/// Writes the image of `manifest` under `name`, which has a tag; `platform` is `None` for an index. All its blobs are
/// in the store. Not for `tar` and `dir`.
pub fn write(
    store: &Store,
    manifest: &Descriptor,
    name: &str,
    platform: Option<&Platform>,
    output: &Output,
) -> Result<(), ImageError> {
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    let image = Source { store, manifest, name, tag, platform };
    match output.kind {
        OutputKind::Oci => image.layout(&output.dest),
        OutputKind::DockerArchive => image.archive(&output.dest, Source::docker),
        _ => image.archive(&output.dest, Source::oci),
    }
}

struct Source<'a> {
    store: &'a Store,
    manifest: &'a Descriptor,
    name: &'a str,
    tag: &'a str,
    platform: Option<&'a Platform>,
}

/// What `oci-layout` holds (OCI image-spec 1.1, "Image Layout").
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Source<'_> {
    fn read<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, ImageError> {
        let bytes = self.store.read_blob(&descriptor.digest, 16 << 20)?;
        serde_json::from_slice(&bytes).map_err(|error| ImageError::invalid("the manifest", error.to_string()))
    }

    /// Every blob once, in an order that says nothing about this machine.
    fn blobs(&self) -> Result<Vec<Descriptor>, ImageError> {
        let mut all = vec![self.manifest.clone()];
        let manifests = if media_type::is_index(&self.manifest.media_type) {
            self.read::<Index>(self.manifest)?.manifests.into_iter().map(|entry| entry.descriptor).collect()
        } else {
            vec![self.manifest.clone()]
        };
        for descriptor in manifests {
            let manifest: Manifest = self.read(&descriptor)?;
            all.extend([descriptor, manifest.config].into_iter().chain(manifest.layers));
        }
        let mut seen = BTreeSet::new();
        Ok(all.into_iter().filter(|descriptor| seen.insert(descriptor.digest)).collect())
    }

    fn entry(&self) -> IndexEntry {
        let annotations = [(REF_NAME.to_owned(), self.tag.to_owned())].into();
        IndexEntry { descriptor: self.manifest.clone(), platform: self.platform.cloned(), annotations }
    }

    /// Adds to a layout that is there, or makes one.
    fn layout(&self, dest: &Path) -> Result<(), ImageError> {
        let index_path = dest.join("index.json");
        let fresh = !dest.join("oci-layout").is_file();
        if fresh && fs::read_dir(dest).is_ok_and(|mut entries| entries.next().is_some()) || dest.is_file() {
            return Err(ImageError::Occupied { path: dest.to_owned() });
        }
        let blobs = dest.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(write_error(&blobs))?;
        for descriptor in self.blobs()? {
            let path = blobs.join(descriptor.digest.hex());
            if path.metadata().is_ok_and(|metadata| metadata.len() == descriptor.size) {
                continue;
            }
            let mut from = self.store.open_blob(&descriptor.digest)?;
            replace(&path, |file| io::copy(&mut from, file).map(drop))?;
        }
        let mut manifests = Vec::new();
        if !fresh {
            let bytes = Files::default()
                .read(&index_path, JSON_LIMIT)
                .map_err(|source| ImageError::Read { path: index_path.clone(), source })?;
            let index: Index = serde_json::from_slice(&bytes)
                .map_err(|error| ImageError::invalid(index_path.display().to_string(), error.to_string()))?;
            manifests = index.manifests;
        }
        let same = |entry: &IndexEntry| {
            entry.annotations.get(REF_NAME).map(String::as_str) == Some(self.tag)
                && entry.platform.as_ref().is_none_or(|other| self.platform.is_none_or(|own| own == other))
        };
        manifests.retain(|entry| !same(entry));
        manifests.push(self.entry());
        let index = Index::new(manifests).bytes();
        replace(&index_path, |file| file.write_all(&index))?;
        // Last: it is what makes the directory a layout.
        replace(&dest.join("oci-layout"), |file| file.write_all(LAYOUT))
    }

    fn archive(
        &self,
        dest: &Path,
        members: impl Fn(&Self, &mut TarWriter<&mut dyn Write>) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        if dest.is_dir() {
            return Err(ImageError::Write {
                path: dest.to_owned(),
                source: io::Error::from(io::ErrorKind::IsADirectory),
            });
        }
        let mut failure = None;
        let written = replace(dest, |file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            let mut tar = TarWriter::new(&mut out as &mut dyn Write);
            if let Err(error) = members(self, &mut tar) {
                failure = Some(error);
                // Whatever it says: the file must not get its name.
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            tar.finish()?.flush()
        });
        failure.map_or(written, Err)
    }

    fn oci(&self, tar: &mut TarWriter<&mut dyn Write>) -> Result<(), ImageError> {
        member(tar, "oci-layout", LAYOUT)?;
        member(tar, "index.json", &Index::new(vec![self.entry()]).bytes())?;
        for path in ["blobs", "blobs/sha256"] {
            tar.append(&plain_directory(Path::new(path)), &mut io::empty()).map_err(write_error(Path::new(path)))?;
        }
        for descriptor in self.blobs()? {
            let path = format!("blobs/sha256/{}", descriptor.digest.hex());
            let mut blob = self.store.open_blob(&descriptor.digest)?;
            tar.append(&file(&path, descriptor.size), &mut blob).map_err(write_error(Path::new(&path)))?;
        }
        Ok(())
    }

    /// Layers uncompressed, since `docker load` does not read zstd.
    fn docker(&self, tar: &mut TarWriter<&mut dyn Write>) -> Result<(), ImageError> {
        let manifest: Manifest = self.read(self.manifest)?;
        let config = self.store.read_blob(&manifest.config.digest, 16 << 20)?;
        let value: serde_json::Value = super::read_config("the config", &config)?;
        let diff_ids: Vec<DiffId> = serde_json::from_value(value["rootfs"]["diff_ids"].clone()).unwrap_or_default();
        let mut names = Vec::new();
        let mut written = BTreeSet::new();
        for (descriptor, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let name = format!("{}.tar", diff_id.0.hex());
            names.push(name.clone());
            if !written.insert(diff_id) {
                continue;
            }
            let failed = write_error(Path::new(&name));
            let open = || layer_decoder(self.store.open_blob(&descriptor.digest)?).map_err(&failed);
            // The header wants the length first.
            let size = io::copy(&mut open()?.1, &mut io::sink()).map_err(&failed)?;
            tar.append(&file(&name, size), &mut open()?.1).map_err(&failed)?;
        }
        let config_name = format!("{}.json", manifest.config.digest.hex());
        member(tar, &config_name, &config)?;
        let saved = serde_json::json!([{"Config": config_name, "RepoTags": [self.name], "Layers": names}]);
        member(tar, "manifest.json", saved.to_string().as_bytes())
    }
}

fn file(path: &str, size: u64) -> Entry {
    Entry { kind: Kind::File, mode: 0o644, size, ..plain_directory(Path::new(path)) }
}

fn member(tar: &mut TarWriter<&mut dyn Write>, path: &str, mut bytes: &[u8]) -> Result<(), ImageError> {
    tar.append(&file(path, bytes.len() as u64), &mut bytes).map_err(write_error(Path::new(path)))
}

/// Writes a file beside `path`, and renames it when it is complete.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), ImageError> {
    let failed = write_error(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(&failed)?;
    write(file.as_file_mut()).map_err(&failed)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(file.path(), mode).map_err(&failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Unpacks layers into the directory `dest`, which must not exist or be empty. Owners are kept by root alone.
pub fn unpack_to(store: &Store, layers: &[Layer], dest: &Path) -> Result<(), ImageError> {
    if dest.exists() && fs::read_dir(dest).map_or(true, |mut entries| entries.next().is_some()) {
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(ImageError::Write { path: dest.to_owned(), source });
    }
    let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staged = tempfile::Builder::new().prefix(".alloy-").tempdir_in(parent).map_err(write_error(parent))?;
    let root = rustix::process::geteuid().is_root();
    let ownership = if root { Ownership::Archive } else { Ownership::Invoker };
    let options = ApplyOptions { form: Form::Plain, parents: &[], ownership };
    let directory = Root::open(staged.path())?;
    for layer in layers {
        let digest = layer.descriptor.digest;
        let path = store.blob_path(&digest);
        let (_, reader) =
            layer_decoder(store.open_blob(&digest)?).map_err(|source| ImageError::Read { path, source })?;
        apply(reader, &directory, &options).map_err(|source| ImageError::Apply { digest, source })?;
    }
    let staged = staged.keep();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&staged, mode).map_err(write_error(dest))?;
    fs::rename(&staged, dest).map_err(write_error(dest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_in_any_order() {
        let output: Output = "dest=x/y.oci,type=oci".parse().unwrap();
        assert_eq!(output, Output { kind: OutputKind::Oci, dest: "x/y.oci".into() });
        for bad in ["oci", "type=oci", "dest=x", "type=zip,dest=x", "type=oci,dest=", "type=oci,dest=x,y=z"] {
            assert!(bad.parse::<Output>().is_err(), "{bad}");
        }
    }
}
