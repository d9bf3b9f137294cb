//! Values of tasks, as they were read: how many there are, and where they are not known yet.

use crate::yaml::{Mapping, Node, Span, UNKNOWN, Value};

/// How many values a task is made of: no action makes more commands of them.
pub(super) fn size(fields: &Mapping) -> usize {
    fields.entries.iter().map(|(_, node)| count(node)).sum()
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 1,
        Value::Sequence(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Mapping(mapping) => 1 + size(mapping),
    }
}

/// Places of values that hold what nobody knows yet.
pub(super) fn unknown_places(node: &Node, places: &mut Vec<Span>) {
    match &node.value {
        Value::Scalar { text, .. } if text.contains(UNKNOWN) => places.push(node.span),
        Value::Scalar { .. } => {}
        Value::Sequence(items) => items.iter().for_each(|item| unknown_places(item, places)),
        Value::Mapping(mapping) => mapping.entries.iter().for_each(|(_, node)| unknown_places(node, places)),
    }
}
