//! Records that are of no task as the blueprint has it now: of tasks that it has no more, or that were changed.

use std::collections::BTreeSet;
use std::ops::Deref;

use serde_json::Value;

use super::state::Record;
use crate::plan::StepTrace;

/// A record of a task that the blueprint has no more, or has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The record.
    pub record: Record,
    /// So many of the blueprint's tasks came before it: what those after it wrote is later than what it wrote.
    pub follows: usize,
    /// The task, by its number, that it was before that was changed.
    pub of: Option<usize>,
}

impl Deref for Former {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Former {
    /// True if its task stood in this file.
    pub fn is_in(&self, other: &str) -> bool {
        self.file() == other
    }

    /// The file that its task stood in.
    pub fn file(&self) -> &str {
        file(&self.place)
    }
}

/// Whether a record is of the task of that number.
type Same<'a> = &'a dyn Fn(usize, &Record, &StepTrace) -> bool;

/// The records of `traces`, by what the tasks do: the first of two that do the same has the first record. And the
/// records that are of none of them. A task without a record has one that is the `same` otherwise.
pub fn matched(
    traces: &[Option<StepTrace>],
    records: Vec<Record>,
    same: impl Fn(usize, &Record, &StepTrace) -> bool,
) -> (Vec<Option<Record>>, Vec<Former>) {
    let mut free: Vec<Option<Record>> = records.into_iter().map(Some).collect();
    let mut order: Vec<Option<usize>> = vec![None; free.len()];
    let mut found: Vec<Option<Record>> = vec![None; traces.len()];
    let exactly = |_: usize, record: &Record, trace: &StepTrace| record.fingerprint == trace.fingerprint;
    let ways: [Same<'_>; 2] = [&exactly, &same];
    for is in ways {
        for (at, trace) in traces.iter().enumerate().filter_map(|(at, trace)| Some((at, trace.as_ref()?))) {
            if found[at].is_some() {
                continue;
            }
            let place = free.iter().position(|record| record.as_ref().is_some_and(|record| is(at, record, trace)));
            if let Some(place) = place {
                order[place] = Some(at);
                found[at] = free[place].take();
            }
        }
    }
    let (mut follows, mut left) = (0, Vec::new());
    for (record, at) in free.into_iter().zip(order) {
        match (record, at) {
            (Some(record), _) => left.push(Former { record, follows, of: None }),
            (None, at) => follows = at.map_or(follows, |at| at + 1),
        }
    }
    for at in 0..left.len() {
        left[at].of = now(&left[at], &left, traces, &found);
    }
    (found, left)
}

/// Records in the order in which their tasks have run: each of `left` is where it was.
pub fn in_order<'r>(records: &'r [Option<Record>], left: &'r [Former]) -> impl Iterator<Item = &'r Record> + Clone {
    let before = |at: usize| left.iter().filter(move |former| former.follows == at).map(|former| &former.record);
    (0..=records.len()).flat_map(move |at| before(at).chain(records.get(at).and_then(Option::as_ref)))
}

/// What the task of `former` has become: one of its name in its file. Of several, the one that writes to the same place;
/// else the first of those without a record of their own belongs to the first of the former ones, and so on.
///
/// One that has a record of its own is another task, unless this is what the former one was done instead of: then it was
/// changed, and has been put back.
fn now(former: &Former, left: &[Former], traces: &[Option<StepTrace>], found: &[Option<Record>]) -> Option<usize> {
    let is_later = |record: &Record| former.instead_of == Some(record.fingerprint) && former.at >= record.at;
    if let Some(at) = found.iter().position(|record| record.as_ref().is_some_and(is_later)) {
        return Some(at);
    }
    let free = || {
        let traces = traces.iter().enumerate().filter(|(at, _)| found[*at].is_none());
        traces.filter_map(|(at, trace)| Some((at, trace.as_ref()?)))
    };
    let alike = |name: &str, place: &str| name == former.name && file(place) == file(&former.place);
    let tasks: Vec<(usize, &StepTrace)> = free().filter(|(_, trace)| alike(&trace.name, &trace.place)).collect();
    if tasks.is_empty() {
        // It was renamed, or moved to another file.
        let place = |fields: &Value| dest(fields).or_else(|| fields["creates"].as_str()).map(str::to_owned);
        let wanted = place(&former.fields)?;
        let is_it = |trace: &StepTrace| trace.action == former.action && place(&trace.fields).as_ref() == Some(&wanted);
        return free().find(|(_, trace)| is_it(trace)).map(|(at, _)| at);
    }
    let same = |one: &Value, other: &Value| dest(one).is_some() && dest(one) == dest(other);
    if let Some((at, _)) = tasks.iter().find(|(_, trace)| same(&trace.fields, &former.fields)) {
        return Some(*at);
    }
    // Those that nothing else tells apart, in their order.
    let others: Vec<&Former> = left.iter().filter(|other| alike(&other.name, &other.place)).collect();
    let lines: BTreeSet<usize> = others
        .iter()
        .filter(|other| !tasks.iter().any(|(_, trace)| same(&trace.fields, &other.fields)))
        .map(|other| line(&other.place))
        .collect();
    let rank = lines.iter().position(|other| *other == line(&former.place))?;
    let unclaimed = |trace: &StepTrace| !others.iter().any(|other| same(&trace.fields, &other.fields));
    tasks.iter().filter(|(_, trace)| unclaimed(trace)).nth(rank).map(|(at, _)| *at)
}

/// Fields of tasks that say where they write.
pub const PLACES: [&str; 2] = ["dest", "file"];

/// Where the task of these fields writes, if they say so.
pub fn dest(fields: &Value) -> Option<&str> {
    let named = PLACES.iter().find_map(|field| fields[*field].as_str());
    named.map(|place| place.trim_end_matches('/'))
}

fn file(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(file, _)| file)
}

fn line(place: &str) -> usize {
    place.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use layers::digest::Digest;
    use serde_json::json;

    use super::super::state::{Ending, Wrote};
    use super::*;
    use crate::op::Fingerprint;

    fn trace(name: &str, line: usize, dest: &str, what: &str) -> StepTrace {
        StepTrace {
            name: name.into(),
            action: "a".into(),
            place: format!("f.yml:{line}"),
            fields: json!({ "dest": dest }),
            fingerprint: Fingerprint(Digest::of(what)),
            sources: BTreeMap::new(),
            variables: BTreeMap::new(),
        }
    }

    fn matched_exactly(traces: &[Option<StepTrace>], records: Vec<Record>) -> (Vec<Option<Record>>, Vec<Former>) {
        matched(traces, records, |_, _, _| false)
    }

    fn record(trace: &StepTrace) -> Record {
        Record::new(trace, Ending::Done, String::new(), Wrote::default())
    }

    #[test]
    fn two_that_do_the_same_have_a_record_each() {
        let traces = [trace("one", 1, "/a", "x"), trace("two", 2, "/b", "x"), trace("three", 3, "/c", "y")];
        let records = vec![record(&traces[0]), record(&trace("o", 9, "/z", "z"))];
        let (found, left) = matched_exactly(&traces.map(Some), records);
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!((left.len(), left[0].follows, left[0].of), (1, 1, None));
    }

    #[test]
    fn a_former_record_stays_where_it_was() {
        let names = |tasks: &[StepTrace], records: &[&StepTrace]| {
            let traces: Vec<_> = tasks.iter().cloned().map(Some).collect();
            let (found, left) = matched_exactly(&traces, records.iter().map(|trace| record(trace)).collect());
            in_order(&found, &left).map(|record| record.fields["dest"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let (a, b) = (trace("a", 1, "/a", "a"), trace("b", 2, "/b", "b"));
        // What `b` made of what `a` wrote is later, also when `a` is gone, or is another one.
        assert_eq!(names(std::slice::from_ref(&b), &[&a, &b]), ["/a", "/b"]);
        assert_eq!(names(&[trace("a", 1, "/new", "n"), b.clone()], &[&a, &b]), ["/a", "/b"]);
        assert_eq!(names(std::slice::from_ref(&a), &[&a, &b]), ["/a", "/b"]);
    }

    #[test]
    fn tasks_of_one_name_are_told_apart() {
        let before = [trace("clone", 1, "/a", "a1"), trace("clone", 2, "/b", "b1")];
        let of = |now: [StepTrace; 2]| {
            let (_, left) = matched_exactly(&now.map(Some), before.iter().map(record).collect());
            left.iter().map(|former| former.of).collect::<Vec<_>>()
        };
        assert_eq!(of([trace("clone", 1, "/a/", "a2"), trace("clone", 2, "/b", "b2")]), [Some(0), Some(1)]);
        assert_eq!(of([trace("clone", 1, "/b", "a2"), trace("clone", 2, "/a", "b2")]), [Some(1), Some(0)]);
        assert_eq!(of([trace("clone", 3, "/c", "a2"), trace("clone", 4, "/d", "b2")]), [Some(0), Some(1)]);
        assert_eq!(of([trace("other", 1, "/z", "a2"), trace("clone", 2, "/x", "b2")]), [Some(1), None]);
        assert_eq!(of([trace("other", 1, "/z", "a2"), trace("clone", 2, "/b", "b2")]), [None, Some(1)]);
        // The second is gone: the first is no other one than it was.
        let (_, left) = matched_exactly(&[Some(before[0].clone())], before.iter().map(record).collect());
        assert_eq!((left.len(), left[0].of), (1, None));
        // It was another one for a while, and was put back.
        let other = Record { instead_of: Some(before[0].fingerprint), ..record(&trace("clone", 7, "/a", "a2")) };
        let (_, left) = matched_exactly(&[Some(before[0].clone())], vec![record(&before[0]), other]);
        assert_eq!(left[0].of, Some(0));
    }
}
