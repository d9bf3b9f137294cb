//! What `docker save` writes: `manifest.json`, a config, and layers under any name.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use layers::compress::{Format, decoder};
use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use layers::path::shown;
use layers::store::Store;
use layers::tar::{Kind, for_each};
use serde::Deserialize;

use super::{Files, Image, ImageError, JSON_LIMIT, Manifest, Room, Wanted};

/// Links that lead to one member.
const MOST_LINKS: usize = 40;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// What a tar holds, by cleaned names.
#[derive(Default)]
struct Members {
    files: HashMap<PathBuf, Digest>,
    /// Symbolic links, as they are written.
    links: HashMap<PathBuf, PathBuf>,
    /// Hard links: other names of members.
    names: HashMap<PathBuf, PathBuf>,
}

impl Members {
    /// The file that `name` leads to, links of the archive followed; none of them leads out of it.
    fn find(&self, name: &str) -> Option<Digest> {
        let mut path = PathBuf::new();
        let mut left: Vec<PathBuf> = parts(Path::new(name))?;
        let mut followed = 0;
        while let Some(part) = left.pop() {
            if part.as_os_str() == ".." {
                // Above its root there is nothing of an archive.
                if !path.pop() {
                    return None;
                }
                continue;
            }
            path.push(part);
            let (link, from_root) = match (self.links.get(&path), self.names.get(&path)) {
                (Some(link), _) => (link, false),
                (None, Some(name)) => (name, true),
                (None, None) => continue,
            };
            followed += 1;
            if followed > MOST_LINKS {
                return None;
            }
            match from_root {
                true => path.clear(),
                false => _ = path.pop(),
            }
            left.extend(parts(link)?);
        }
        self.files.get(&path).copied()
    }
}

/// The parts of a relative path, the last one first.
fn parts(path: &Path) -> Option<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for part in path.components().rev() {
        match part {
            Component::Normal(_) | Component::ParentDir => parts.push(PathBuf::from(part.as_os_str())),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

/// Reads the image of the archive at `path` that is `wanted`, its layers into the store.
pub fn read_docker_archive(store: &Store, files: Files<'_>, path: &Path, wanted: &Wanted) -> Result<Image, ImageError> {
    let what = path.display().to_string();
    let failed = |source| ImageError::Read { path: path.to_owned(), source };
    let file = files.open(path).map_err(failed)?;
    let mut room = Room::of(&file).map_err(failed)?;
    let (_, reader) = decoder(file).map_err(failed)?;
    let mut members = Members::default();
    for_each::<_, ImageError>(reader, |entry, content| {
        let name = entry.path.clone();
        match entry.kind {
            Kind::File => {
                let mut writer = store.blob_writer()?;
                writer.fill(&mut room.reader(content))?.map_err(failed)?;
                members.files.insert(name, writer.commit(None)?.0);
            }
            // Layers that are there twice are links, relative to their own directory.
            Kind::Symlink => _ = members.links.insert(name, entry.link.clone()),
            Kind::HardLink => _ = members.names.insert(name, entry.link.clone()),
            _ => {}
        }
        Ok(())
    })?;
    let find = |name: &str| {
        let other = name == "manifest.json" && members.find("index.json").is_some();
        let other = if other { ": is it an OCI archive? `oci-archive:` reads these" } else { "" };
        let missing = || ImageError::invalid(what.clone(), format!("it has no {}{other}", shown(name.as_bytes())));
        members.find(name).ok_or_else(missing)
    };
    let json = |digest: &Digest| store.read_blob(digest, JSON_LIMIT);
    let images: Vec<SavedImage> = serde_json::from_slice(&json(&find("manifest.json")?)?)
        .map_err(|error| ImageError::invalid(what.clone(), format!("its manifest.json cannot be read: {error}")))?;
    let configs = images.iter().map(|image| find(&image.config)).collect::<Result<Vec<_>, _>>()?;
    let (image, config) = meant(&what, &images, &configs, wanted)?;
    let layers = image.layers.iter().map(|name| layer(store, find(name)?)).collect::<Result<Vec<_>, ImageError>>()?;
    let bytes = json(&config)?;
    let media_type = media_type::OCI_CONFIG.to_owned();
    let descriptor = Descriptor { media_type, digest: config, size: bytes.len() as u64 };
    let manifest = Manifest {
        schema_version: 2,
        media_type: None,
        config: descriptor,
        layers: layers.into_iter().map(Into::into).collect(),
        annotations: BTreeMap::new(),
    };
    // The config names all layers: its digest says what the image is.
    Image::new(&what, config, &manifest, &bytes)
}

/// The image that is `wanted`, with its config, which is what its digest is of.
fn meant<'i>(
    what: &str,
    images: &'i [SavedImage],
    configs: &[Digest],
    wanted: &Wanted,
) -> Result<(&'i SavedImage, Digest), ImageError> {
    let names = |image: &'i SavedImage| image.repo_tags.as_deref().unwrap_or_default();
    let all = || images.iter().zip(configs.iter().copied());
    let found: BTreeMap<Digest, &SavedImage> = all()
        .filter(|(image, config)| match wanted {
            Wanted::Only => true,
            Wanted::Named(_) => names(image).iter().any(|name| wanted.is(name)),
            Wanted::Digest(digest) => digest == config,
        })
        .map(|(image, config)| (config, image))
        .collect();
    if let (Some((config, image)), 1) = (found.first_key_value(), found.len()) {
        return Ok((image, *config));
    }
    let told = all().flat_map(|(image, config)| match names(image) {
        [] => vec![config.to_string()],
        names => names.iter().map(|name| shown(name.as_bytes())).collect(),
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let message = match (wanted, images.len()) {
        (_, 0) => "it has no image".to_owned(),
        (Wanted::Only, count) => {
            format!("it has {count} images: name one of {told}, as in `FILE:NAME:TAG` or `FILE@sha256:…`")
        }
        (Wanted::Named(name), _) if found.is_empty() => format!("it has no image `{name}`; it has {told}"),
        (Wanted::Digest(digest), _) => format!("it has no image `{digest}`; it has {told}"),
        (Wanted::Named(name), _) => format!("several of its images are called `{name}`: name one by its digest"),
    };
    Err(ImageError::invalid(what, message))
}

fn layer(store: &Store, digest: Digest) -> Result<Descriptor, ImageError> {
    let media_type = match Format::of(&store.blob_head(&digest)?) {
        Format::Gzip => media_type::OCI_LAYER_GZIP,
        Format::Zstd => media_type::OCI_LAYER_ZSTD,
        _ => media_type::OCI_LAYER,
    };
    let size = store.blob_len(&digest)?.unwrap_or_default();
    Ok(Descriptor { media_type: media_type.to_owned(), digest, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_an_archive_lead_to_its_members_and_nowhere_else() {
        let digest = Digest::of("layer");
        let mut members = Members::default();
        members.files.insert("l1/layer.tar".into(), digest);
        for (name, link) in [
            ("l2/layer.tar", "../l1/layer.tar"),
            ("l3/layer.tar", "./../l2/../l2/layer.tar"),
            ("l4", "l1"),
            ("out/layer.tar", "../../l1/layer.tar"),
            ("absolute/layer.tar", "/l1/layer.tar"),
            ("loop/a", "b"),
            ("loop/b", "a"),
            ("dotted/layer.tar", "x../l1/layer.tar"),
        ] {
            members.links.insert(name.into(), link.into());
        }
        members.names.insert("hard/layer.tar".into(), "l1/layer.tar".into());
        for name in ["l1/layer.tar", "./l1/layer.tar", "l2/layer.tar", "l3/layer.tar", "l4/layer.tar", "hard/layer.tar"]
        {
            assert_eq!(members.find(name), Some(digest), "{name}");
        }
        for name in ["out/layer.tar", "absolute/layer.tar", "loop/a", "dotted/layer.tar", "l5", "../l1/layer.tar", ""] {
            assert_eq!(members.find(name), None, "{name}");
        }
    }
}
