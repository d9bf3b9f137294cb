//! What is known of a base before anybody is asked, and before anything is copied.

use super::{BASES, Base, INDEX, Origin, Resolver, Result, rootfs};
use crate::cache;
use crate::image::{self, BaseRef};

impl Resolver<'_> {
    /// What a base was found to be before. Asks nobody, and changes nothing. One on this machine that says that it is for
    /// another platform is an error, as it is for whoever builds: a layout says so before it was read.
    pub fn known_base(&self, text: &str) -> Result<Option<Base>> {
        let reference: BaseRef = text.parse()?;
        if let Some(base) = self.named_base(&reference)? {
            return Ok(Some(base));
        }
        let image = match &reference {
            BaseRef::Local(_) => None,
            BaseRef::Registry(_) | BaseRef::Deb { .. } => {
                return Ok(cache::get(self.store, BASES, &self.base_key(text))?);
            }
            BaseRef::Scratch => return Ok(Some(rootfs::empty())),
            BaseRef::Oci(text) => {
                let (path, wanted) = image::layout_place(self.files(), text);
                let known = self.read_before(&path.join(INDEX), &wanted.to_string())?;
                if known.is_none() {
                    let found = image::look_at_layout(self.files(), &path, &wanted, self.platform)?;
                    found.is_for(&reference.to_string(), self.platform)?;
                }
                known
            }
            BaseRef::Rootfs(path) if self.is_directory(path) => None,
            BaseRef::OciArchive(text) | BaseRef::DockerArchive(text) => {
                let (path, wanted) = image::archive_place(self.files(), text);
                self.read_before(&path, &wanted.to_string())?
            }
            BaseRef::Rootfs(path) => self.read_before(path, "")?,
        };
        if let Some(image) = image.as_ref().filter(|_| !matches!(reference, BaseRef::Rootfs(_))) {
            image.is_for(&reference.to_string(), self.platform)?;
        }
        Ok(image.map(|image| Base { identity: image.identity, origin: Origin::Store, image }))
    }
}
