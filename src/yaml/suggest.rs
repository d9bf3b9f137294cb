//! "Did you mean".

const MAX_NAMES: usize = 300;

/// The name nearest to `wrong`, if one is near enough to have been meant.
pub fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let limit = match wrong.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    let lower = wrong.to_lowercase();
    let length = lower.chars().count();
    // The distance takes time: of many names only some are looked at, and only those that are as long.
    let likely = names.into_iter().take(MAX_NAMES).filter(|name| name.chars().count().abs_diff(length) <= limit);
    let near = likely.filter_map(|name| Some((distance(&lower, &name.to_lowercase(), limit)?, name)));
    near.min().map(|(_, name)| name)
}

/// Levenshtein's distance, with the swap of two neighbours as one step; `None` above `limit`.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let (mut before, mut above) = (Vec::new(), (0..=b.len()).collect::<Vec<_>>());
    for i in 1..=a.len() {
        // What is further from the diagonal than the limit cannot come back.
        let mut row = vec![limit + 1; b.len() + 1];
        if i <= limit {
            row[0] = i;
        }
        for j in i.saturating_sub(limit).max(1)..=(i + limit).min(b.len()) {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        if row.iter().min().is_none_or(|least| *least > limit) {
            return None;
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["apt_install", "run_command", "get_file"];
        assert_eq!(nearest("apt_instal", names), Some("apt_install"));
        assert_eq!(nearest("run_comamnd", names), Some("run_command"));
        assert_eq!(nearest("GET_FILE", names), Some("get_file"));
        assert_eq!(nearest("frobnicate", names), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(distance("ab", "ba", 1), Some(1));
        assert_eq!(distance("kitten", "sitting", 3), Some(3));
        assert_eq!(distance("kitten", "sitting", 2), None);
        assert_eq!(distance("", "abc", 3), Some(3));
    }
}
