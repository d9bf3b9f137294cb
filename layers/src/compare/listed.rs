//! Which of many differences are listed: some of every directory, so that one with hundreds hides no other.

use std::path::PathBuf;

use crate::tree::Difference;

/// Differences below a directory that are not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// The directory, relative to the layer's root; empty for the root itself.
    pub directory: PathBuf,
    /// How many there are.
    pub count: usize,
}

/// Differences that stand side by side, and whose paths have the first `depth` elements in common.
#[derive(Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
    depth: usize,
}

/// At most `limit` of `found`, which is sorted by path, and how many are left where.
pub(super) fn listed(mut found: Vec<Difference>, limit: usize) -> (Vec<Difference>, Vec<Unlisted>) {
    if found.len() <= limit {
        return (found, Vec::new());
    }
    let groups = groups(&found, limit);
    // Each group has one; what the limit leaves goes to the smallest groups first, in equal shares.
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|at| groups[*at].len());
    let mut shares = vec![0; groups.len()];
    let mut left = limit;
    for (done, at) in order.iter().enumerate() {
        shares[*at] = groups[*at].len().min(left / (groups.len() - done));
        left -= shares[*at];
    }
    let (mut keep, mut unlisted) = (vec![false; found.len()], Vec::new());
    for (group, share) in groups.iter().zip(shares) {
        keep[group.start..group.start + share].fill(true);
        if share < group.len() {
            let directory = found[group.start].path.iter().take(group.depth).collect();
            unlisted.push(Unlisted { directory, count: group.len() - share });
        }
    }
    let mut keep = keep.into_iter();
    found.retain(|_| keep.next().unwrap_or_default());
    (found, unlisted)
}

/// Everything, as the finest groups that are no more than `limit`: those with the fewest differences are divided first.
fn groups(found: &[Difference], limit: usize) -> Vec<Group> {
    let mut open = vec![Group { start: 0, end: found.len(), depth: 0 }];
    let mut closed = Vec::new();
    while let Some(at) = (0..open.len()).min_by_key(|at| open[*at].len()) {
        let group = open.swap_remove(at).narrowed(found);
        let parts = group.parts(found);
        if parts.len() > 1 && open.len() + closed.len() + parts.len() <= limit {
            open.extend(parts);
        } else {
            closed.push(group);
        }
    }
    closed.sort_unstable_by_key(|group| group.start);
    closed
}

impl Group {
    fn len(&self) -> usize {
        self.end - self.start
    }

    /// The same, with all directories that its paths have in common.
    fn narrowed(mut self, found: &[Difference]) -> Self {
        let (first, last) = (&found[self.start].path, &found[self.end - 1].path);
        // Sorted: what the first and the last have in common, all have. The last element of a path that is the same in
        // all is a member, and no directory that others are in.
        let common = first.iter().zip(last.iter()).take_while(|(one, other)| one == other).count();
        let directory = if first == last { common.saturating_sub(1) } else { common };
        self.depth = self.depth.max(directory);
        self
    }

    /// The groups of the next element; the differences of one member are groups of their own.
    fn parts(&self, found: &[Difference]) -> Vec<Self> {
        let alone = found[self.start].path == found[self.end - 1].path;
        let element = |at: usize| found[at].path.iter().nth(self.depth).filter(|_| !alone);
        let mut parts: Vec<Self> = Vec::new();
        for at in self.start..self.end {
            match parts.last_mut() {
                Some(part) if element(at).is_some() && element(at) == element(part.start) => part.end = at + 1,
                _ => parts.push(Self { start: at, end: at + 1, depth: self.depth + 1 }),
            }
        }
        parts
    }
}
