//! What `docker save` writes: `manifest.json`, a config, and layers under any name.

use std::collections::HashMap;
use std::path::Path;

use layers::compress::{Format, decoder};
use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use layers::store::Store;
use layers::tar::{Kind, for_each};
use serde::Deserialize;

use super::{Files, Image, ImageError, JSON_LIMIT, Manifest, Room};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    layers: Vec<String>,
}

/// Reads the one image of the archive at `path`, its layers into the store.
pub fn read_docker_archive(store: &Store, files: Files<'_>, path: &Path) -> Result<Image, ImageError> {
    let what = path.display().to_string();
    let failed = |source| ImageError::Read { path: path.to_owned(), source };
    let file = files.open(path).map_err(failed)?;
    let mut room = Room::of(&file).map_err(failed)?;
    let (_, reader) = decoder(file).map_err(failed)?;
    let mut members: HashMap<String, Digest> = HashMap::new();
    let mut links: HashMap<String, String> = HashMap::new();
    for_each::<_, ImageError>(reader, |entry, content| {
        let name = entry.path.to_string_lossy().into_owned();
        match entry.kind {
            Kind::File => {
                let mut writer = store.blob_writer()?;
                writer.fill(&mut room.reader(content))?.map_err(failed)?;
                members.insert(name, writer.commit(None)?.0);
            }
            // Layers that are there twice are links, relative to their own directory.
            Kind::Symlink => {
                let joined = Path::new(&name).parent().unwrap_or(Path::new("")).join(&entry.link);
                let target = layers::path::clean(joined.to_string_lossy().replace("../", "").as_bytes());
                links.extend(target.ok().map(|target| (name, target.to_string_lossy().into_owned())));
            }
            _ => {}
        }
        Ok(())
    })?;
    let find = |name: &str| {
        let name = links.get(name).map_or(name, String::as_str);
        members.get(name).copied().ok_or_else(|| ImageError::invalid(what.clone(), format!("it has no {name}")))
    };
    let json = |digest: &Digest| store.read_blob(digest, JSON_LIMIT);
    let images: Vec<SavedImage> = serde_json::from_slice(&json(&find("manifest.json")?)?)
        .map_err(|error| ImageError::invalid(what.clone(), format!("its manifest.json cannot be read: {error}")))?;
    let [image] = images.as_slice() else {
        return Err(ImageError::invalid(what, format!("it has {} images, not one", images.len())));
    };
    let config = find(&image.config)?;
    let layers = image.layers.iter().map(|name| layer(store, find(name)?)).collect::<Result<Vec<_>, ImageError>>()?;
    let bytes = json(&config)?;
    let media_type = media_type::OCI_CONFIG.to_owned();
    let descriptor = Descriptor { media_type, digest: config, size: bytes.len() as u64 };
    let manifest = Manifest {
        schema_version: 2,
        media_type: None,
        config: descriptor,
        layers,
        annotations: std::collections::BTreeMap::new(),
    };
    // The config names all layers: its digest says what the image is.
    Image::new(&what, config, &manifest, &bytes)
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
