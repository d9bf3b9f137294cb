//! Whether a login shell has come to its command: what its profiles say is in the output before a mark.

use std::cell::RefCell;

use super::shells::MARKER;

/// Passes on what a command prints, without the mark at which it begins.
pub(super) struct Begun<'a> {
    to: &'a dyn Fn(&[u8]),
    /// Until the mark was seen, the bytes that may be its beginning; afterwards nothing.
    held: RefCell<Option<Vec<u8>>>,
}

impl<'a> Begun<'a> {
    /// What is printed goes on `to`.
    pub fn new(to: &'a dyn Fn(&[u8])) -> Self {
        Self { to, held: RefCell::new(Some(Vec::new())) }
    }

    /// Takes a piece of what is printed.
    pub fn take(&self, piece: &[u8]) {
        let mut held = self.held.borrow_mut();
        let Some(mut all) = held.take() else { return (self.to)(piece) };
        all.extend_from_slice(piece);
        if let Some(at) = all.windows(MARKER.len()).position(|window| window == MARKER) {
            [&all[..at], &all[at + MARKER.len()..]].into_iter().filter(|part| !part.is_empty()).for_each(self.to);
            return;
        }
        let kept = (0..MARKER.len()).rev().find(|kept| all.ends_with(&MARKER[..*kept])).unwrap_or_default();
        let rest = all.split_off(all.len() - kept);
        if !all.is_empty() {
            (self.to)(&all);
        }
        *held = Some(rest);
    }

    /// True if the mark was seen; what was held is passed on.
    pub fn end(self) -> bool {
        let held = self.held.into_inner();
        if let Some(held) = held.as_ref().filter(|held| !held.is_empty()) {
            (self.to)(held);
        }
        held.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_it_is_cut() {
        let whole = [b"profile\0\n".as_slice(), MARKER, b"command \0alloy\0 end"].concat();
        for cut in 0..whole.len() {
            for second in [cut, whole.len()] {
                let printed = RefCell::new(Vec::new());
                let to = |bytes: &[u8]| printed.borrow_mut().extend_from_slice(bytes);
                let begun = Begun::new(&to);
                [&whole[..cut], &whole[cut..second], &whole[second..]].into_iter().for_each(|piece| begun.take(piece));
                assert!(begun.end());
                assert_eq!(printed.borrow().as_slice(), b"profile\0\ncommand \0alloy\0 end");
            }
        }
        let printed = RefCell::new(Vec::new());
        let to = |bytes: &[u8]| printed.borrow_mut().extend_from_slice(bytes);
        let begun = Begun::new(&to);
        begun.take(b"bye\0all");
        assert!(!begun.end());
        assert_eq!(printed.borrow().as_slice(), b"bye\0all");
    }
}
