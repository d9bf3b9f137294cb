//! Spellings of bytes: as URLs, JSON, programming languages and shells write them, and what stands between the digits of
//! encoded forms. A decoder waits for a few bytes at the most, whatever the input.

/// A byte, and where its spelling stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) byte: u8,
    pub(super) start: usize,
    pub(super) end: usize,
    /// It was spelled in another way than by itself.
    pub(super) escaped: bool,
}

/// A way to spell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `%2F`, in either case (RFC 3986, 2.1).
    Url,
    /// The same, and `+` for a blank (`application/x-www-form-urlencoded`).
    Form,
    /// `\n`, `\"`, `\/`, `\x2f`, `\057`, `\u002f`: JSON, C, Python, `$'…'` and `"…"` of shells, `printf %q`.
    Backslash,
    /// `'\''` and `'"'"'` for a quote between quotes, as shells print under `set -x`.
    Quote,
    /// Base64 with breaks, blanks and written-out breaks between its digits.
    Base64,
    /// Hexadecimal in either case, with anything usual between its digits.
    Hex,
    /// The same with a place at the beginning of each line, as od(1) has it.
    Dump,
}

/// What the beginning of the input is.
enum Is {
    /// Not known yet.
    Open,
    /// So many items, and the bytes that they stand for: none, where they only stand between others.
    Known(usize, [u8; 4], usize),
}

/// A byte that is what it is.
const fn itself(byte: u8) -> Is {
    Is::Known(1, [byte, 0, 0, 0], 1)
}

const fn stands_for(items: usize, byte: u8) -> Is {
    Is::Known(items, [byte, 0, 0, 0], 1)
}

const fn nothing(items: usize) -> Is {
    Is::Known(items, [0; 4], 0)
}

#[derive(Clone, Debug)]
pub(super) struct Decoder {
    pub(super) spelling: Spelling,
    pending: Vec<Item>,
    /// The next byte begins a line.
    fresh: bool,
}

impl Decoder {
    pub(super) fn new(spelling: Spelling) -> Self {
        Self { spelling, pending: Vec::new(), fresh: true }
    }

    /// Takes an item, and gives those that are known then; bytes that stand for nothing as `Err`.
    pub(super) fn take(&mut self, item: Item, give: &mut impl FnMut(Result<Item, usize>)) {
        // Almost all is what it is.
        if self.pending.is_empty() && self.spelling.is_plain(item.byte, self.fresh) {
            self.fresh = false;
            give(Ok(item));
            return;
        }
        self.pending.push(item);
        self.settle(false, give);
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, give: &mut impl FnMut(Result<Item, usize>)) {
        self.settle(true, give);
    }

    /// Where what is not known yet begins.
    pub(super) fn waits(&self) -> Option<usize> {
        self.pending.first().map(|item| item.start)
    }

    fn settle(&mut self, last: bool, give: &mut impl FnMut(Result<Item, usize>)) {
        let mut done = 0;
        while let Some(first) = self.pending.get(done).copied() {
            let (items, bytes, count) = match self.spelling.read(&self.pending[done..], self.fresh) {
                Is::Known(items, bytes, count) => (items, bytes, count),
                Is::Open if last => (1, [first.byte, 0, 0, 0], 1),
                Is::Open => break,
            };
            let end = self.pending[done + items - 1];
            self.fresh = end.byte == b'\n';
            let escaped = first.escaped || items > 1 || bytes[0] != first.byte;
            for byte in &bytes[..count] {
                give(Ok(Item { byte: *byte, start: first.start, end: end.end, escaped }));
            }
            if count == 0 {
                give(Err(end.end - first.start));
            }
            done += items;
        }
        self.pending.drain(..done);
    }
}

impl Spelling {
    /// True for bytes that may not be what they are.
    pub(super) fn begins(self, byte: u8) -> bool {
        match self {
            Self::Url => byte == b'%',
            Self::Form => matches!(byte, b'%' | b'+'),
            Self::Backslash => byte == b'\\',
            Self::Quote => byte == b'\'',
            Self::Base64 | Self::Hex | Self::Dump => true,
        }
    }

    /// True for bytes that are what they are, whatever follows. No break of lines is among them.
    fn is_plain(self, byte: u8, fresh: bool) -> bool {
        match self {
            Self::Url | Self::Form | Self::Backslash | Self::Quote => !self.begins(byte) && byte != b'\n',
            Self::Base64 => byte.is_ascii_alphanumeric(),
            Self::Hex | Self::Dump => matches!(byte, b'1'..=b'9' | b'a'..=b'z') && !(fresh && self == Self::Dump),
        }
    }

    /// Reads the beginning of `items`, of which there is one at least.
    fn read(self, items: &[Item], fresh: bool) -> Is {
        let first = items[0].byte;
        let second = items.get(1).map(|item| item.byte);
        match self {
            Self::Form if first == b'+' => stands_for(1, b' '),
            Self::Url | Self::Form if first == b'%' => match digits(&items[1..], 2, 16) {
                Digits::Value(value) => stands_for(3, value.to_le_bytes()[0]),
                Digits::Open => Is::Open,
                Digits::None => itself(first),
            },
            Self::Backslash if first == b'\\' => second.map_or(Is::Open, |second| escape(items, second)),
            Self::Quote if first == b'\'' => {
                let is = |text: &[u8]| text.iter().zip(items).all(|(byte, item)| item.byte == *byte);
                let forms: [&[u8]; 2] = [br"'\''", br#"'"'"'"#];
                match forms.iter().find(|form| is(form)) {
                    Some(form) if items.len() >= form.len() => stands_for(form.len(), b'\''),
                    Some(_) => Is::Open,
                    None => itself(first),
                }
            }
            Self::Url | Self::Form | Self::Backslash | Self::Quote => itself(first),
            Self::Base64 => match (first, second) {
                (b'\n' | b'\r' | b'\t' | b' ', _) => nothing(1),
                (b'\\', None) => Is::Open,
                (b'\\', Some(b'n' | b'r' | b't')) => nothing(2),
                (b'\\', Some(b'\\' | b'/' | b'\n' | b'\r')) => nothing(1),
                (b'\\', Some(b'u')) => escape(items, b'u'),
                _ => itself(first),
            },
            Self::Dump if fresh && (first.is_ascii_hexdigit() || first == b'*') => {
                let length = items.iter().take_while(|item| item.byte.is_ascii_hexdigit()).count();
                match items.get(length).map(|item| item.byte) {
                    Some(b' ' | b':') if matches!(length, 7 | 8) => nothing(length + 1),
                    None if length < 9 => Is::Open,
                    _ => Self::Hex.read(items, false),
                }
            }
            Self::Hex | Self::Dump => match (first, second) {
                (b'\n' | b'\r' | b'\t' | b' ' | b':' | b',' | b';' | b'-', _) => nothing(1),
                (b'0' | b'\\', None) => Is::Open,
                (b'0' | b'\\', Some(b'x' | b'X')) | (b'\\', Some(b'n' | b'r' | b't')) => nothing(2),
                (b'\\', Some(b'\\')) => nothing(1),
                _ => itself(first.to_ascii_lowercase()),
            },
        }
    }
}

/// What a backslash and `second` begin.
fn escape(items: &[Item], second: u8) -> Is {
    let of_code = |count: usize| match digits(&items[2..], count, 16) {
        Digits::Value(code) => character(count + 2, code),
        Digits::Open => Is::Open,
        Digits::None => itself(b'\\'),
    };
    match second {
        b'u' if items.get(2).is_some_and(|item| item.byte == b'{') => {
            let length = items[3..].iter().take_while(|item| item.byte.is_ascii_hexdigit()).count();
            match (items.get(3 + length).map(|item| item.byte), digits(&items[3..], length, 16)) {
                (Some(b'}'), Digits::Value(code)) if matches!(length, 1..=6) => character(length + 4, code),
                (None, _) if length <= 6 => Is::Open,
                _ => itself(b'\\'),
            }
        }
        b'u' => match digits(&items[2..], 4, 16) {
            // The first half of a pair (RFC 8259, 7).
            Digits::Value(high @ 0xd800..0xdc00) => {
                let between = [b'\\', b'u'];
                let goes_on = between.iter().zip(&items[6..]).all(|(byte, item)| item.byte == *byte);
                match digits(items.get(8..).unwrap_or_default(), 4, 16) {
                    _ if !goes_on => itself(b'\\'),
                    Digits::Value(low @ 0xdc00..0xe000) => {
                        character(12, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                    }
                    Digits::Open => Is::Open,
                    _ => itself(b'\\'),
                }
            }
            _ => of_code(4),
        },
        b'U' => of_code(8),
        b'x' => match digits(&items[2..], 2, 16) {
            Digits::Value(value) => stands_for(4, value.to_le_bytes()[0]),
            Digits::Open => Is::Open,
            Digits::None => itself(b'\\'),
        },
        b'0'..=b'7' => match digits(&items[1..], 3, 8) {
            Digits::Value(value) => stands_for(4, value.to_le_bytes()[0]),
            Digits::Open => Is::Open,
            Digits::None => itself(b'\\'),
        },
        b'a' => stands_for(2, 0x07),
        b'b' => stands_for(2, 0x08),
        b'e' | b'E' => stands_for(2, 0x1b),
        b'f' => stands_for(2, 0x0c),
        b'n' => stands_for(2, b'\n'),
        b'r' => stands_for(2, b'\r'),
        b't' => stands_for(2, b'\t'),
        b'v' => stands_for(2, 0x0b),
        other => stands_for(2, other),
    }
}

fn character(items: usize, code: u32) -> Is {
    let mut bytes = [0; 4];
    match char::from_u32(code) {
        Some(c) => {
            let count = c.encode_utf8(&mut bytes).len();
            Is::Known(items, bytes, count)
        }
        None => itself(b'\\'),
    }
}

enum Digits {
    Value(u32),
    Open,
    None,
}

/// The number that the first `count` items are.
fn digits(items: &[Item], count: usize, base: u32) -> Digits {
    let mut value = 0_u32;
    for item in items.iter().take(count) {
        match char::from(item.byte).to_digit(base) {
            Some(digit) => value = value.wrapping_mul(base).wrapping_add(digit),
            None => return Digits::None,
        }
    }
    if items.len() < count { Digits::Open } else { Digits::Value(value) }
}
