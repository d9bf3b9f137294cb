//! Compression of layers, and decompression of whatever is met.
//!
//! Output depends on the input and the settings alone, never on the number of threads.

use std::fmt;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::media_type;

mod ahead;
mod behind;
mod bunzip2;
mod frames;
mod gunzip;
mod gzip;
mod lz4;
mod lzma;
mod skippable;
mod whole;
mod xz;

pub use ahead::read_ahead;
pub(crate) use behind::Behind;
pub(crate) use lzma::clamped;

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// Not at all.
    None,
    /// RFC 1952, in independent members of 1 MiB.
    Gzip,
    /// RFC 8878, one frame.
    Zstd,
}

/// An algorithm and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its level, in the algorithm's own scale.
    pub level: i32,
}

impl Default for Compression {
    fn default() -> Self {
        Self { algorithm: Algorithm::Zstd, level: 2 }
    }
}

impl Compression {
    /// The media type of a layer compressed so.
    pub fn media_type(self) -> &'static str {
        match self.algorithm {
            Algorithm::None => media_type::OCI_LAYER,
            Algorithm::Gzip => media_type::OCI_LAYER_GZIP,
            Algorithm::Zstd => media_type::OCI_LAYER_ZSTD,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            Algorithm::None => f.write_str("none"),
            Algorithm::Gzip => write!(f, "gzip:{}", self.level),
            Algorithm::Zstd => write!(f, "zstd:{}", self.level),
        }
    }
}

/// Why a text is not a compression.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a compression: expected `zstd[:1-19]`, `gzip[:1-12]` or `none`")]
pub struct CompressionError(String);

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let error = || CompressionError(text.to_owned());
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let (algorithm, default, levels) = match name {
            "zstd" => (Algorithm::Zstd, 2, 1..=19),
            "gzip" => (Algorithm::Gzip, 6, 1..=12),
            "none" => (Algorithm::None, 0, 0..=0),
            _ => return Err(error()),
        };
        let level = level.map_or(Ok(default), str::parse).map_err(|_| error())?;
        if !levels.contains(&level) {
            return Err(error());
        }
        Ok(Self { algorithm, level })
    }
}

/// Compresses what is written to it.
pub struct Encoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    None(W),
    Gzip(gzip::Encoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Compressed bytes go to `out`.
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        Ok(Self(match compression.algorithm {
            Algorithm::None => Inner::None(out),
            Algorithm::Gzip => Inner::Gzip(gzip::Encoder::new(out, compression.level)?),
            Algorithm::Zstd => {
                let mut encoder = zstd::Encoder::new(out, compression.level)?;
                encoder.include_checksum(false)?;
                // Any number of workers from one up gives the same bytes; none at all gives others.
                encoder.multithread(2)?;
                Inner::Zstd(encoder)
            }
        }))
    }

    /// Writes the end, and gives the writer back.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Inner::None(out) => Ok(out),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish().map_err(zstd_error),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(out) => out.write(buf),
            Inner::Gzip(encoder) => encoder.write(buf),
            Inner::Zstd(encoder) => encoder.write(buf).map_err(zstd_error),
        }
    }

    /// Flushing in the middle would change the output; the end is written by [`Encoder::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The library has one word for memory and for threads that are refused (`ZSTD_error_memory_allocation`).
fn zstd_error(error: io::Error) -> io::Error {
    if error.to_string().contains("not enough memory") { refused("compressor") } else { error }
}

fn refused(what: &str) -> io::Error {
    let text = format!("the {what} gets no more memory or threads: see `ulimit -v` and `ulimit -u`");
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

/// A compression found by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// None that is known.
    Plain,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
    /// xz, any number of streams.
    Xz,
    /// bzip2, any number of streams.
    Bzip2,
    /// LZ4 frames.
    Lz4,
    /// What `lz4 -l` writes.
    Lz4Legacy,
    /// What lzma(1) writes.
    Lzma,
}

impl Format {
    /// Tells by the first bytes.
    pub fn of(head: &[u8]) -> Self {
        let behind = skippable::behind(head);
        if behind.len() == head.len() { Self::of_content(head) } else { Self::of_content(behind).passed() }
    }

    /// The same of what follows frames that hold nothing: zstd and LZ4 have those alike.
    fn passed(self) -> Self {
        if matches!(self, Self::Lz4 | Self::Lz4Legacy) { self } else { Self::Zstd }
    }

    fn of_content(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4Legacy,
            head if lzma::is_head(head) => Self::Lzma,
            _ => Self::Plain,
        }
    }

    /// True for the content of a layer of this OCI media type.
    pub fn is_of(self, layer: &str) -> bool {
        match layer {
            media_type::OCI_LAYER => self == Self::Plain,
            media_type::OCI_LAYER_GZIP => self == Self::Gzip,
            media_type::OCI_LAYER_ZSTD => self == Self::Zstd,
            _ => false,
        }
    }

    /// What people call it; none for what is not compressed.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Xz => Some("xz"),
            Self::Bzip2 => Some("bzip2"),
            Self::Lz4 | Self::Lz4Legacy => Some("LZ4"),
            Self::Lzma => Some("LZMA"),
        }
    }
}

/// A decompressor never needs more than this, whatever the input asks for.
pub(crate) const MEMORY_LIMIT: u64 = 256 << 20;
/// 2^27 bytes: the most that zstd itself decodes without being asked (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`).
const ZSTD_WINDOW_LOG: u32 = 27;

/// Decompresses `input` by its content; anything unknown comes through as it is. The reader's end is the stream's own,
/// checksums and all; whatever comes before that is an error, for as often as one reads on.
pub fn decoder<'a>(input: impl Read + Send + 'a) -> io::Result<(Format, Box<dyn Read + Send + 'a>)> {
    open(input, false)
}

/// The same of an image's layer, which everybody has to be able to read: a tar that is compressed as the OCI image-spec
/// 1.1 has it, or not at all, and nothing behind its end.
pub fn layer_decoder<'a>(input: impl Read + Send + 'a) -> io::Result<(Format, Box<dyn Read + Send + 'a>)> {
    open(input, true)
}

fn open<'a>(input: impl Read + Send + 'a, layer: bool) -> io::Result<(Format, Box<dyn Read + Send + 'a>)> {
    let (input, failed) = whole::input(input);
    let mut input = BufReader::with_capacity(256 << 10, input);
    let (head, passed) = skippable::head(&mut input).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "the zstd or LZ4 stream is cut off"),
        _ => error,
    })?;
    let format = if passed { Format::of(&head).passed() } else { Format::of(&head) };
    let input = Cursor::new(head).chain(input);
    let layers_have = matches!(format, Format::Plain | Format::Gzip | Format::Zstd);
    if let (true, Some(name)) = (layer && !layers_have, format.name()) {
        let text =
            format!("it is compressed with {name}, which no media type of layers stands for (gzip, zstd or none)");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let reader: Box<dyn Read + Send + 'a> = match format {
        Format::Plain => Box::new(input),
        Format::Gzip => Box::new(gunzip::Decoder::new(input, !layer)),
        Format::Zstd => Box::new(frames::Decoder::new(input, ZSTD_WINDOW_LOG, !layer)),
        Format::Xz => Box::new(xz::Decoder::new(input, MEMORY_LIMIT)?),
        Format::Bzip2 => Box::new(bunzip2::Decoder::new(input)),
        Format::Lz4 | Format::Lz4Legacy => Box::new(lz4::Decoder::new(input)),
        Format::Lzma => Box::new(lzma::Decoder::new(input, MEMORY_LIMIT)?),
    };
    Ok((format, Box::new(whole::Whole::new(reader, format, failed))))
}

/// The error of a decoder that would need `needed` bytes, if that is known, and may have `limit`.
fn too_large(what: &str, needed: Option<u64>, limit: u64) -> io::Error {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let needed = needed.map_or_else(|| "more memory".to_owned(), |bytes| format!("{what} of {} MiB, more", mib(bytes)));
    let text =
        format!("decompressing it needs {needed} than the {} MiB that alloy allows; pack it with less", mib(limit));
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        (0..3_000_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect()
    }

    fn compressed(text: &str, data: &[u8], piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), text.parse().unwrap()).unwrap();
        for piece in data.chunks(piece) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_comes_back_and_does_not_depend_on_the_writes() {
        let data = sample();
        for (text, format) in [("zstd", Format::Zstd), ("gzip:1", Format::Gzip), ("none", Format::Plain)] {
            let bytes = compressed(text, &data, 1 << 20);
            assert!(bytes == compressed(text, &data, 7777), "{text}");
            let (found, mut reader) = decoder(bytes.as_slice()).unwrap();
            let mut back = Vec::new();
            reader.read_to_end(&mut back).unwrap();
            assert_eq!(found, format);
            assert!(back == data, "{text}");
        }
    }

    #[test]
    fn an_empty_layer_is_valid_too() {
        for text in ["zstd", "gzip"] {
            let bytes = compressed(text, &[], 1);
            let mut back = Vec::new();
            decoder(bytes.as_slice()).unwrap().1.read_to_end(&mut back).unwrap();
            assert!(!bytes.is_empty() && back.is_empty(), "{text}");
        }
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!("zstd:19".parse::<Compression>().unwrap().level, 19);
        for bad in ["zstd:20", "gzip:0", "none:3", "xz", "zstd:", "zstd:x"] {
            assert!(bad.parse::<Compression>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_truncated_stream_is_an_error() {
        for text in ["zstd", "gzip"] {
            let bytes = compressed(text, &sample(), 1 << 20);
            let cut = &bytes[..bytes.len() / 2];
            assert!(decoder(cut).unwrap().1.read_to_end(&mut Vec::new()).is_err(), "{text}");
        }
    }
}
