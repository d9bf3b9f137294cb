//! Many texts looked for at once, in a text that comes in pieces: one step for each byte, however many texts there are,
//! and a state that says how much of the input may still be the beginning of one of them. The steps are those of the
//! `aho-corasick` crate; how long a beginning a state stands for is found by walking along each text.

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::noncontiguous::NFA;

/// Looks for a set of texts.
#[derive(Debug)]
pub(super) struct Automaton {
    /// `None` if nothing is looked for.
    nfa: Option<NFA>,
    /// Of each state, how many bytes lead to it: so many of the input's last may be the beginning of a text.
    depths: Vec<usize>,
}

/// How far an input was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    /// `None` at the beginning.
    state: Option<StateID>,
    depth: usize,
}

impl Automaton {
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let texts = texts.filter(|text| !text.is_empty());
        let mut automaton = Self { nfa: None, depths: Vec::new() };
        if texts.clone().next().is_none() {
            return automaton;
        }
        // It fails where all texts together are of more bytes than it can count, which no environment holds.
        #[expect(clippy::expect_used, reason = "a mask that does not look for a secret must not be used")]
        let nfa = NFA::builder().prefilter(false).build(texts.clone()).expect("secrets of less than 2 GiB");
        automaton.nfa = Some(nfa);
        for text in texts {
            let mut node = Node::default();
            for (at, byte) in text.iter().enumerate() {
                node = automaton.next(node, *byte);
                let id = node.state.map_or(0, |state| state.as_usize());
                automaton.depths.resize(automaton.depths.len().max(id + 1), 0);
                automaton.depths[id] = at + 1;
                node.depth = at + 1;
            }
        }
        automaton
    }

    /// The node behind `byte`.
    pub(super) fn next(&self, node: Node, byte: u8) -> Node {
        let Some(nfa) = &self.nfa else { return node };
        let state = node.state.or_else(|| nfa.start_state(Anchored::No).ok());
        let state = state.map(|state| nfa.next_state(Anchored::No, state, byte));
        let depth = state.and_then(|state| self.depths.get(state.as_usize())).copied().unwrap_or_default();
        Node { state, depth }
    }

    /// Bytes of the longest text that ends at `node`; 0 if none does.
    pub(super) fn longest(&self, node: Node) -> usize {
        match (&self.nfa, node.state) {
            (Some(nfa), Some(state)) if nfa.is_match(state) => {
                let all = (0..nfa.match_len(state)).map(|index| nfa.pattern_len(nfa.match_pattern(state, index)));
                all.max().unwrap_or_default()
            }
            _ => 0,
        }
    }
}

impl Node {
    /// How many of the last bytes may be the beginning of a text.
    pub(super) fn depth(self) -> usize {
        self.depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(texts: &[&str], input: &str) -> Vec<(usize, usize)> {
        let automaton = Automaton::new(texts.iter().map(|text| text.as_bytes()));
        let mut node = Node::default();
        let step = |(at, byte): (usize, u8)| {
            node = automaton.next(node, byte);
            let longest = automaton.longest(node);
            (longest > 0).then_some((at + 1 - longest, at + 1))
        };
        input.bytes().enumerate().filter_map(step).collect()
    }

    #[test]
    fn the_longest_of_all_that_end_is_found() {
        assert_eq!(ends(&["he", "she", "his", "hers"], "ushers"), [(1, 4), (2, 6)]);
        assert_eq!(ends(&["a", "aaa", "aa"], "aaaa"), [(0, 1), (0, 2), (0, 3), (1, 4)]);
        assert_eq!(ends(&["abcd", "bc", "c"], "abcx"), [(1, 3)]);
        assert_eq!(ends(&[], "abc"), []);
    }

    /// Against the plain search, on texts that overlap as often as texts can.
    #[test]
    fn nothing_is_missed() {
        let mut seed = 7_u32;
        let mut letter = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + u8::try_from(seed >> 30).unwrap() % 3)
        };
        for _ in 0..200 {
            let texts: Vec<String> = (1..7).map(|length| (0..length).map(|_| letter()).collect()).collect();
            let input: String = (0..60).map(|_| letter()).collect();
            let expected: Vec<_> = (1..=input.len())
                .filter_map(|end| {
                    let ending = texts.iter().filter(|text| input[..end].ends_with(text.as_str()));
                    ending.map(|text| (end - text.len(), end)).min()
                })
                .collect();
            assert_eq!(ends(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &input), expected);
        }
    }
}
