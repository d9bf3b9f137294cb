//! Many texts looked for at once (Aho and Corasick, "Efficient string matching", 1975). One step for each byte, however
//! many texts there are, and a state that says how much of the input may still be the beginning of one of them.

/// Looks for a set of texts.
#[derive(Debug)]
pub(super) struct Automaton {
    /// The first is the root; those of depth 1 follow it.
    nodes: Vec<Node>,
    /// Where each byte leads, for the root and for nodes of depth 1: there, input is most of the time, and children are
    /// many.
    dense: Vec<[usize; 256]>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    byte: u8,
    /// How many bytes lead here: so many of the input's last may be the beginning of a text.
    depth: usize,
    /// Bytes of the longest text that ends here.
    longest: usize,
    /// The first child and the next sibling; 0 for none.
    child: usize,
    sibling: usize,
    /// The node of the longest end of this one's bytes that is the beginning of a text as well.
    fail: usize,
}

impl Automaton {
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut automaton = Self { nodes: vec![Node::default()], dense: Vec::new() };
        for text in texts.clone() {
            if let Some(first) = text.first() {
                automaton.child_or_new(0, *first);
            }
        }
        let shallow = automaton.nodes.len();
        for text in texts {
            let node = text.iter().fold(0, |node, byte| automaton.child_or_new(node, *byte));
            automaton.nodes[node].longest = text.len();
        }
        automaton.dense = vec![[0; 256]; shallow];
        automaton.connect(shallow);
        automaton
    }

    fn child_or_new(&mut self, node: usize, byte: u8) -> usize {
        if let Some(child) = self.child(node, byte) {
            return child;
        }
        let (sibling, depth) = (self.nodes[node].child, self.nodes[node].depth + 1);
        self.nodes.push(Node { byte, depth, sibling, ..Node::default() });
        self.nodes[node].child = self.nodes.len() - 1;
        self.nodes.len() - 1
    }

    fn child(&self, node: usize, byte: u8) -> Option<usize> {
        self.children(node).find(|child| self.nodes[*child].byte == byte)
    }

    fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let some = |node: usize| (node != 0).then_some(node);
        std::iter::successors(some(self.nodes[node].child), move |child| some(self.nodes[*child].sibling))
    }

    /// Sets what depends on shorter nodes, the shorter ones first.
    fn connect(&mut self, shallow: usize) {
        let mut queue = std::collections::VecDeque::from([0]);
        while let Some(node) = queue.pop_front() {
            let children: Vec<usize> = self.children(node).collect();
            let fail = self.nodes[node].fail;
            for child in &children {
                let to = if node == 0 { 0 } else { self.next(fail, self.nodes[*child].byte) };
                let longest = self.nodes[to].longest;
                let child = &mut self.nodes[*child];
                child.fail = to;
                // What ends here itself is longer than what ends at the node it falls back to.
                child.longest = child.longest.max(longest);
            }
            if node < shallow {
                self.dense[node] = if node == 0 { [0; 256] } else { self.dense[fail] };
                for child in &children {
                    self.dense[node][usize::from(self.nodes[*child].byte)] = *child;
                }
            }
            queue.extend(children);
        }
    }

    /// The node behind `byte`. Every step back gives up a byte that was taken before, so that all steps together are no
    /// more than twice the bytes.
    pub(super) fn next(&self, mut node: usize, byte: u8) -> usize {
        loop {
            if let Some(table) = self.dense.get(node) {
                return table[usize::from(byte)];
            }
            if let Some(child) = self.child(node, byte) {
                return child;
            }
            node = self.nodes[node].fail;
        }
    }

    /// How many of the last bytes may be the beginning of a text.
    pub(super) fn depth(&self, node: usize) -> usize {
        self.nodes[node].depth
    }

    /// Bytes of the longest text that ends at `node`; 0 if none does.
    pub(super) fn longest(&self, node: usize) -> usize {
        self.nodes[node].longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(texts: &[&str], input: &str) -> Vec<(usize, usize)> {
        let automaton = Automaton::new(texts.iter().map(|text| text.as_bytes()));
        let mut node = 0;
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
