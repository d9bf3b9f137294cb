//! zstd by as many cores as it has small frames for (`pzstd` and seekable formats write such); a large frame is
//! decoded as a stream (RFC 8878, 3.1).

use std::collections::VecDeque;
use std::io::{self, BufRead, Chain, Cursor, Read};
use std::sync::{Mutex, PoisonError};

use zstd::bulk::Decompressor;

use super::behind::{Behind, mark};
use super::skippable;
use crate::at_once;

/// A frame of more content than this, or of content that it does not tell, is decoded as a stream.
const MAX_CONTENT: u64 = 16 << 20;
/// Compressed bytes of such a frame; a liar's frame is decoded as a stream.
const MAX_FRAME: usize = 20 << 20;
/// What is decoded side by side, frames and content: bounds memory, has no influence on the output.
const BATCH: usize = 32 << 20;
/// What a frame counts for beside its bytes, so that empty ones do not add up either.
const FRAME_COST: usize = 4 << 10;

const MAGIC: u32 = 0xfd2f_b528;
/// What may follow.
const WHAT: &str = "zstd frame";

type Streamed<R> = zstd::Decoder<'static, Chain<Cursor<Vec<u8>>, R>>;

/// Decodes frames, one after the other.
pub(super) struct Decoder<R: BufRead> {
    state: State<R>,
    /// Content that was decoded and not read yet.
    ready: VecDeque<Cursor<Vec<u8>>>,
    window_log: u32,
    zeros: bool,
}

enum State<R: BufRead> {
    Between(R),
    Within(Box<Streamed<R>>),
    /// What follows is no frame.
    Failed(io::Error),
    Ended,
}

/// The next frame, as far as it was read.
enum Next {
    /// Whole.
    Small(Vec<u8>, usize),
    /// Its beginning.
    Large(Vec<u8>),
    End,
}

impl<R: BufRead> Decoder<R> {
    /// A decoder that refuses windows of more than `2^window_log` bytes. With `zeros`, those may follow.
    pub(super) fn new(input: R, window_log: u32, zeros: bool) -> Self {
        Self { state: State::Between(input), ready: VecDeque::new(), window_log, zeros }
    }

    /// Decodes what can be decoded side by side; a large frame behind it is begun.
    fn batch(&mut self, mut input: R) -> io::Result<()> {
        let (mut frames, mut held) = (Vec::new(), 0);
        let last = loop {
            if held >= BATCH {
                break State::Between(input);
            }
            let next = match next(&mut input, self.zeros) {
                // The frames before it are whole.
                Err(error) if Behind::of(&error).is_some() => break State::Failed(error),
                next => next?,
            };
            match next {
                Next::Small(frame, size) => {
                    held += size + frame.len() + FRAME_COST;
                    frames.push((frame, size));
                }
                Next::Large(head) => {
                    let window = window(&head);
                    if window.is_some_and(|window| window > 1 << self.window_log) {
                        return Err(super::too_large("a window", window, 1 << self.window_log));
                    }
                    let mut decoder = zstd::Decoder::with_buffer(Cursor::new(head).chain(input))?.single_frame();
                    decoder.window_log_max(self.window_log)?;
                    break State::Within(Box::new(decoder));
                }
                Next::End => break State::Ended,
            }
        };
        // A context costs more than a small frame, of which there may be very many: those of one batch share a few.
        let spare: Mutex<Vec<Decompressor<'static>>> = Mutex::default();
        let idle = || spare.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = at_once::each(&frames, |(frame, size)| {
            let taken = idle().pop();
            let mut used = taken.map_or_else(context, Ok)?;
            let content = used.decompress(frame, *size);
            idle().push(used);
            content
        });
        let decoded: io::Result<Vec<_>> = decoded.into_iter().collect();
        self.ready.extend(decoded?.into_iter().map(Cursor::new));
        self.state = last;
        Ok(())
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            while let Some(front) = self.ready.front_mut() {
                let length = front.read(buf)?;
                if length > 0 || buf.is_empty() {
                    return Ok(length);
                }
                self.ready.pop_front();
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Failed(error) => return Err(error),
                State::Between(input) => self.batch(input)?,
                State::Within(mut decoder) => {
                    let length = decoder.read(buf)?;
                    if length > 0 {
                        self.state = State::Within(decoder);
                        return Ok(length);
                    }
                    let (_, input) = decoder.finish().into_inner();
                    self.state = State::Between(input);
                }
            }
        }
    }
}

/// What frames are decoded with.
fn context() -> io::Result<Decompressor<'static>> {
    #[cfg(test)]
    tests::CONTEXTS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    zstd::bulk::Decompressor::new()
}

/// Reads a frame, unless it is a large one; skippable frames are passed over.
fn next(input: &mut impl BufRead, zeros: bool) -> io::Result<Next> {
    loop {
        let Some(magic) = mark::<4>(input, zeros, WHAT)? else { return Ok(Next::End) };
        if skippable::is_mark(magic) {
            skippable::pass(input)?;
            continue;
        }
        if magic != MAGIC.to_le_bytes() {
            return Err(Behind::no(WHAT));
        }
        let mut frame = magic.to_vec();
        // 3.1.1.1: descriptor, window, dictionary, content size.
        let descriptor = take(input, &mut frame, 1)?[0];
        let single = descriptor & 0x20 != 0;
        take(input, &mut frame, usize::from(!single) + [0, 1, 2, 4][usize::from(descriptor & 3)])?;
        let content = match (descriptor >> 6, single) {
            (0, false) => None,
            (0, true) => Some(number(take(input, &mut frame, 1)?)),
            (1, _) => Some(number(take(input, &mut frame, 2)?) + 256),
            (2, _) => Some(number(take(input, &mut frame, 4)?)),
            _ => Some(number(take(input, &mut frame, 8)?)),
        };
        let Some(content) = content.filter(|content| *content <= MAX_CONTENT) else { return Ok(Next::Large(frame)) };
        // 3.1.1.2: blocks, each with three bytes of size, kind and "last".
        loop {
            if frame.len() > MAX_FRAME {
                return Ok(Next::Large(frame));
            }
            let header = number(take(input, &mut frame, 3)?);
            let repeated = (header >> 1) & 3 == 1;
            let size = if repeated { 1 } else { usize::try_from(header >> 3).unwrap_or(usize::MAX) };
            take(input, &mut frame, size)?;
            if header & 1 == 1 {
                break;
            }
        }
        take(input, &mut frame, if descriptor & 4 != 0 { 4 } else { 0 })?;
        return Ok(Next::Small(frame, usize::try_from(content).unwrap_or_default()));
    }
}

/// How far back the content of a frame refers, by its beginning (3.1.1.1.2); without a descriptor, the content's size.
fn window(head: &[u8]) -> Option<u64> {
    let descriptor = head.get(4)?;
    if descriptor & 0x20 != 0 {
        let sizes = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        return head.get(sizes..sizes + bytes).map(number);
    }
    let byte = head.get(5)?;
    let base = 1_u64 << (10 + (byte >> 3));
    Some(base + base / 8 * u64::from(byte & 7))
}

/// The next `count` bytes, appended to `frame`.
fn take<'f>(input: &mut impl BufRead, frame: &'f mut Vec<u8>, count: usize) -> io::Result<&'f [u8]> {
    let start = frame.len();
    input.take(count as u64).read_to_end(frame)?;
    if frame.len() - start < count {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(&frame[start..])
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How many were made, by all tests.
    pub(super) static CONTEXTS: AtomicUsize = AtomicUsize::new(0);

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        Decoder::new(BufReader::with_capacity(333, bytes), 27, true).read_to_end(&mut back)?;
        Ok(back)
    }

    fn data(size: u32) -> Vec<u8> {
        (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect()
    }

    #[test]
    fn small_large_empty_and_skippable_frames() {
        let (small, large) = (data(100_000), data(17 << 20));
        let frame = |data: &[u8]| zstd::bulk::compress(data, 1).unwrap();
        // As a stream, a frame does not tell its size.
        let untold = zstd::encode_all(small.as_slice(), 1).unwrap();
        let skippable = [&[0x5f, 0x2a, 0x4d, 0x18][..], &3_u32.to_le_bytes(), b"abc"].concat();
        let zeros = vec![0; 300_000];
        let all = [frame(&small), skippable, frame(b""), frame(&large), untold, frame(&zeros), frame(&small)].concat();
        let expected = [&small[..], &large, &small, &zeros, &small].concat();
        assert!(decoded(&all).unwrap() == expected);
    }

    #[test]
    fn empty_frames_do_not_add_up() {
        struct Counted<R>(R, std::rc::Rc<std::cell::Cell<usize>>);
        impl<R: Read> Read for Counted<R> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let length = self.0.read(buf)?;
                self.1.set(self.1.get() + length);
                Ok(length)
            }
        }
        let (empty, last) = (zstd::bulk::compress(b"", 1).unwrap(), zstd::bulk::compress(b"last", 1).unwrap());
        // Raw blocks without content, of which a frame may have any number.
        let hollow = [&empty[..empty.len() - 3], &[0; 3].repeat(1 << 20), &[1, 0, 0]].concat();
        for (frame, times) in [(empty, 50_000), (hollow, 20)] {
            let bytes = [frame.repeat(times), last.clone()].concat();
            let read = std::rc::Rc::new(std::cell::Cell::new(0));
            let input = BufReader::with_capacity(333, Counted(bytes.as_slice(), std::rc::Rc::clone(&read)));
            let mut decoder = Decoder::new(input, 27, true);
            let State::Between(input) = std::mem::replace(&mut decoder.state, State::Ended) else { panic!() };
            decoder.batch(input).unwrap();
            assert!(decoder.ready.len() <= BATCH / FRAME_COST, "{} frames at once", decoder.ready.len());
            assert!(read.get() <= BATCH + MAX_FRAME, "{} bytes at once", read.get());
            assert!(matches!(decoder.state, State::Between(_)), "all of it at once");
            let mut back = Vec::new();
            decoder.read_to_end(&mut back).unwrap();
            assert_eq!(back, b"last");
        }
    }

    #[test]
    fn frames_share_what_they_are_decoded_with() {
        let frames = 100_000;
        let before = CONTEXTS.load(Ordering::Relaxed);
        assert!(decoded(&zstd::bulk::compress(b"", 1).unwrap().repeat(frames)).unwrap().is_empty());
        let made = CONTEXTS.load(Ordering::Relaxed) - before;
        assert!(made > 0 && made < frames / 10, "{made} contexts for {frames} frames");
    }

    #[test]
    fn damage_is_an_error() {
        let good =
            [zstd::bulk::compress(&data(50_000), 3).unwrap(), zstd::bulk::compress(&data(9), 3).unwrap()].concat();
        assert!(decoded(&good).is_ok());
        for cut in [3, 5, 100, good.len() - 1] {
            assert!(decoded(&good[..cut]).is_err(), "{cut}");
        }
        assert!(decoded(&[good.as_slice(), &[0; 3]].concat()).unwrap() == decoded(&good).unwrap());
        for rest in [&b"rest"[..], b"x", &[&[0; 700][..], &good].concat()] {
            let bytes = [good.as_slice(), rest].concat();
            let (mut decoder, mut back) = (Decoder::new(bytes.as_slice(), 27, true), Vec::new());
            assert!(Behind::of(&decoder.read_to_end(&mut back).unwrap_err()).is_some(), "{rest:?}");
            assert!(back == decoded(&good).unwrap(), "what comes before it is whole");
        }
        let padded = [good.as_slice(), &[0; 3]].concat();
        assert!(Decoder::new(padded.as_slice(), 27, false).read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn a_window_that_is_too_large_is_told() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        io::copy(&mut io::repeat(1).take(300 << 20), &mut encoder).unwrap();
        let error = decoded(&encoder.finish().unwrap()).unwrap_err().to_string();
        assert!(error.contains("a window of 256 MiB, more than the 128 MiB"), "{error}");
    }
}
