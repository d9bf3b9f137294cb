//! One way to read a text: its spellings decoded, the automaton behind them.

use std::collections::VecDeque;

use super::super::automaton::{Automaton, Node};
use super::SHORTEST;
use super::decode::{Decoder, Item, Spelling};

/// Bytes between two digits of an encoded form, at the most: a break and an indentation. What is further apart belongs
/// together no more, and is not held back for each other.
const MOST_BETWEEN: usize = 256;

/// How far a text was read in one way.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    decoders: Vec<Decoder>,
    /// It reads encoded forms: a few bytes that may begin one say too little to be held back, as almost every line ends
    /// in such.
    broken: bool,
    /// It differs from the plain way of reading; else that one's state is its own.
    pub(super) active: bool,
    state: State,
}

#[derive(Clone, Debug, Default)]
struct State {
    node: Node,
    /// Where the last bytes stand that may be the beginning of what is looked for.
    kept: VecDeque<usize>,
    /// Where the last byte stands that was spelled in another way.
    escape: Option<usize>,
    /// Bytes since the last one that counted.
    between: usize,
}

impl Lane {
    pub(super) fn new(spellings: &[Spelling], broken: bool) -> Self {
        let decoders = spellings.iter().map(|spelling| Decoder::new(*spelling)).collect();
        Self { decoders, broken, active: false, state: State::default() }
    }

    /// True if it is to be told of `byte`.
    pub(super) fn wants(&self, byte: u8) -> bool {
        self.active || self.decoders.iter().any(|decoder| decoder.spelling.begins(byte))
    }

    /// Begins to differ: from a way that has come to `node` by the bytes at `kept`.
    pub(super) fn begin(&mut self, node: Node, kept: impl Iterator<Item = usize>) {
        self.active = true;
        self.state.node = node;
        self.state.escape = None;
        self.state.between = 0;
        self.state.kept.clear();
        self.state.kept.extend(kept);
    }

    pub(super) fn begin_as(&mut self, other: &Self) {
        self.begin(other.state.node, other.state.kept.iter().copied());
        self.state.between = other.state.between;
    }

    /// Takes the byte at `at`, and gives places that it completes.
    pub(super) fn take(&mut self, automaton: &Automaton, byte: u8, at: usize, found: &mut impl FnMut(usize, usize)) {
        let (item, state) = (Item { byte, start: at, end: at + 1, escaped: false }, &mut self.state);
        through(&mut self.decoders, item, &mut |item| state.step(item, automaton, found));
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, automaton: &Automaton, found: &mut impl FnMut(usize, usize)) {
        let (mut decoders, state) = (self.decoders.as_mut_slice(), &mut self.state);
        while let Some((decoder, rest)) = decoders.split_first_mut() {
            decoder.finish(&mut |item| match item {
                Ok(item) => through(rest, item, &mut |item| state.step(item, automaton, found)),
                Err(bytes) => state.step(Err(bytes), automaton, found),
            });
            decoders = rest;
        }
    }

    /// Ends to differ, once nothing that was spelled in another way counts.
    pub(super) fn rest(&mut self) {
        let plain = self.state.kept.front().is_none_or(|start| self.state.escape.is_none_or(|escape| *start > escape));
        self.active = !plain || self.decoders.iter().any(|decoder| decoder.waits().is_some());
    }

    /// Where what may be a place begins.
    pub(super) fn holds(&self) -> Option<usize> {
        let kept = self.state.kept.front().copied();
        if self.broken {
            return kept.filter(|_| self.state.kept.len() >= SHORTEST);
        }
        let waits = self.decoders.iter().filter_map(Decoder::waits);
        kept.into_iter().chain(waits).min()
    }
}

impl State {
    fn step(&mut self, item: Result<Item, usize>, automaton: &Automaton, found: &mut impl FnMut(usize, usize)) {
        let item = match item {
            Ok(item) => item,
            Err(bytes) => {
                self.between += bytes;
                if self.between > MOST_BETWEEN {
                    self.node = Node::default();
                    self.kept.clear();
                }
                return;
            }
        };
        self.between = 0;
        self.node = automaton.next(self.node, item.byte);
        let depth = self.node.depth();
        self.kept.push_back(item.start);
        self.kept.drain(..self.kept.len() - depth);
        if item.escaped {
            self.escape = Some(item.start);
        }
        let longest = automaton.longest(self.node);
        if longest > 0 {
            found(self.kept[depth - longest], item.end);
        }
    }
}

/// Leads an item through decoders.
fn through(decoders: &mut [Decoder], item: Item, give: &mut dyn FnMut(Result<Item, usize>)) {
    match decoders.split_first_mut() {
        None => give(Ok(item)),
        Some((decoder, rest)) => decoder.take(item, &mut |item| match item {
            Ok(item) => through(rest, item, give),
            Err(bytes) => give(Err(bytes)),
        }),
    }
}
