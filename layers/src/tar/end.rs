//! Where an archive ends: two blocks of zeros, or one, or nothing at all, and what stands behind that.

use std::io::{self, Read};

use tar::Header;

use super::{TarError, looks_like_tar};
use crate::compress::Behind;
use crate::path;

const BLOCK: usize = 512;
/// Bytes looked through at a time.
const PIECE: u64 = 128 << 10;

/// Reads on behind the first block of zeros, of an archive of `count` members. Whoever reads as tar(1) does is told in
/// `remarks` what that leaves out; to all others it is an error where tar(1) warns.
pub(super) fn behind_zeros(
    reader: &mut impl Read,
    count: u64,
    remarks: Option<&mut Vec<String>>,
) -> Result<(), TarError> {
    let mut second = Vec::new();
    reader.take(BLOCK as u64).read_to_end(&mut second)?;
    let lone = second.iter().any(|byte| *byte != 0);
    let remarks = match remarks {
        // Where nothing came before it, it is the beginning of something else.
        Some(remarks) if count > 0 || !lone => remarks,
        _ if lone => {
            let text = "damaged: something follows a single block of zeros, which is no end";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text).into());
        }
        _ => {
            io::copy(reader, &mut io::sink())?;
            return Ok(());
        }
    };
    let Rest { first: follows, any, remark } = rest(&second, reader, lone)?;
    let what =
        |name: String| format!("`{name}`, and whatever follows it, is left out; `tar --ignore-zeros -t` shows it");
    match follows {
        Some(name) if lone => {
            remarks.push(format!("a single block of zeros ends the archive, as it does for tar: {}", what(name)));
        }
        Some(name) => remarks.push(format!("another archive follows the end of this one: {}", what(name))),
        None if lone => {
            remarks
                .push("a single block of zeros ends the archive, as it does for tar: what follows is left out".into());
        }
        None if any => remarks.push(
            "something that is no archive follows the end of this one, and is left out: whoever packed it may have joined \
             files, or it is damaged"
                .into(),
        ),
        None => {}
    }
    remarks.extend(remark);
    Ok(())
}

/// What follows an end.
#[derive(Default)]
struct Rest {
    /// The name of its first member, if an archive follows.
    first: Option<String>,
    /// Something follows that is not zero.
    any: bool,
    /// What is to be said of what follows the stream that holds it.
    remark: Option<String>,
}

/// Reads what follows, of which `second` has been read.
fn rest(second: &[u8], reader: &mut impl Read, lone: bool) -> Result<Rest, TarError> {
    let (mut piece, mut rest) = (second.to_vec(), Rest::default());
    loop {
        let read = reader.take(PIECE).read_to_end(&mut piece);
        let mut blocks = piece.chunks(BLOCK).filter(|block| block.iter().any(|byte| *byte != 0)).peekable();
        rest.any |= blocks.peek().is_some();
        let mut whole = blocks.filter(|block| block.len() == BLOCK);
        if let (None, Some(block)) = (&rest.first, whole.find(|block| looks_like_tar(block))) {
            rest.first = Some(path::shown(&Header::from_byte_slice(block).path_bytes()));
        }
        piece.clear();
        match read {
            Ok(0) => return Ok(rest),
            Ok(_) => {}
            // The archive was whole before that.
            Err(error) if !lone && Behind::remark(&error).is_some() => {
                return Ok(Rest { remark: Behind::remark(&error), ..rest });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
