//! One entry of binfmt_misc, as its file shows it.

/// What programs it takes, and who runs them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) enabled: bool,
    pub(super) interpreter: String,
    /// Flag `F`: the interpreter was opened when it was registered, and needs not be in the image.
    pub(super) fixed: bool,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Entry {
    /// `None` for what is no entry, and for entries that go by the name of a file.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let enabled = match lines.next()? {
            "enabled" => true,
            "disabled" => false,
            _ => return None,
        };
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let magic = hex::decode(field("magic ")?).ok()?;
        let mask = match field("mask ") {
            Some(mask) => hex::decode(mask).ok()?,
            None => vec![0xff; magic.len()],
        };
        Some(Self {
            enabled,
            interpreter: field("interpreter ")?.to_owned(),
            fixed: field("flags:").is_some_and(|flags| flags.contains('F')),
            offset: field("offset ")?.parse().ok()?,
            magic,
            mask,
        })
    }

    /// True if a program that begins with `header` is given to the interpreter.
    pub(super) fn takes(&self, header: &[u8]) -> bool {
        let Some(bytes) = header.get(self.offset..).filter(|bytes| bytes.len() >= self.magic.len()) else {
            return false;
        };
        let masks = self.mask.iter().copied().chain(std::iter::repeat(0xff));
        self.magic.iter().zip(masks).zip(bytes).all(|((magic, mask), byte)| (magic ^ byte) & mask == 0)
    }
}
