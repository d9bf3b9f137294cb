//! "Did you mean".

/// The name nearest to `wrong`, if one is near enough to have been meant.
pub fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let limit = match wrong.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    let lower = wrong.to_lowercase();
    let near = names.into_iter().map(|name| (distance(&lower, &name.to_lowercase()), name));
    near.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// Levenshtein's distance, with the swap of two neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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
    }
}
